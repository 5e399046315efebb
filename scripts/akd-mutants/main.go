// Akd-mutants holds ktaudit's validator against the published akd crate on proofs that no honest log
// writes: changed in their encoding, or in their labels. Each is judged under the digests that akd
// itself computes for it, so akd refuses none of them for its digests, and whatever ktaudit refuses
// it must refuse for a reason that docs/design.md states.
//
// It is run by scripts/compare-akd. Exit status: 0 agreement, 1 a disagreement, 2 could not compare.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
)

func main() {
	oracle := flag.String("oracle", "", "the akd-oracle to ask")
	count := flag.Int("count", 2000, "how many mutants")
	seed := flag.Uint64("seed", 1, "of the mutants")
	akd := flag.String("akd", "0.13", "which release judges")
	flag.Parse()
	agreed, err := compare(*oracle, *akd, *count, *seed)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "akd-mutants:", err)
		os.Exit(2)
	case !agreed:
		os.Exit(1)
	}
}

// why are the stated reasons for which ktaudit is stricter than akd; see docs/design.md.
var why = []struct {
	what   string
	reason verdict.Reason
	detail []string // any of them
}{
	{"label that no honest tree has", verdict.NoncanonicalLabel, []string{""}},
	{"field twice", verdict.MalformedProof, []string{"two labels", "two values", "two lengths"}},
	{"group ended by another number", verdict.MalformedProof, []string{"end of a group that was not begun"}},
	{"last element's length past the end", verdict.MalformedProof, []string{"claims ", "ends after "}},
	{"element over 64 KiB", verdict.BatchTooLarge, []string{"an element may have"}},
}

func explain(r validator.Result) string {
	for _, w := range why {
		if r.Reason == w.reason && slices.ContainsFunc(w.detail, func(d string) bool { return strings.Contains(r.Detail, d) }) {
			return w.what
		}
	}
	return ""
}

type mutation struct {
	data    []byte
	changes []string
}

func compare(oracle, akd string, count int, seed uint64) (agreed bool, err error) {
	dir, err := os.MkdirTemp("", "akd-mutants-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	r := rand.New(rand.NewPCG(seed, 0))
	mutants := make([]mutation, count)
	zeros := strings.Repeat("0", 2*validator.DigestSize)
	for i := range mutants {
		m := &mutants[i]
		m.data, m.changes = mutant(r)
		folder := filepath.Join(dir, fmt.Sprint(i+1), zeros) // the epoch tells mutants apart
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return false, err
		}
		if err := os.WriteFile(filepath.Join(folder, zeros), m.data, 0o644); err != nil {
			return false, err
		}
	}
	ask := exec.Command(oracle, "--adopt", "--akd", akd, dir)
	ask.Stderr = os.Stderr
	answers, err := ask.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 1 {
		err = nil // some were rejected
	}
	if err != nil {
		return false, fmt.Errorf("akd-oracle: %w", err)
	}

	var t tally
	for lines := bufio.NewScanner(bytes.NewReader(answers)); lines.Scan(); {
		fields := strings.SplitN(lines.Text(), " ", 5)
		name, err := validator.ParseName(fields[3])
		if err != nil {
			return false, err
		}
		m := mutants[name.Epoch-1]
		own, err := validator.Verify(context.Background(), name, bytes.NewReader(m.data), validator.WhatsAppV1(), validator.Options{})
		if err != nil {
			return false, err
		}
		t.add(name, m, fields[1] == "accept", strings.Join(fields[4:], " "), own)
	}
	return t.print(akd, count), nil
}

// tally counts how mutants were judged.
type tally struct {
	judged, accepted, refused int
	stricter                  map[string]int // by stated reason
	complaints                []string
}

func (t *tally) add(name validator.Name, m mutation, accepted bool, akdReason string, own validator.Result) {
	t.judged++
	verified := own.Outcome == validator.Verified
	byDigest := own.Reason == verdict.DigestMismatch || own.Reason == verdict.PreviousDigestMismatch
	complain := func(text string) {
		t.complaints = append(t.complaints, fmt.Sprintf("mutant %d (%s; %d bytes): %s; akd %q, ktaudit %s %s",
			name.Epoch, strings.Join(m.changes, ", "), len(m.data), text, akdReason, own.Reason, own.Detail))
	}
	switch {
	case accepted && verified:
		t.accepted++
	case accepted && explain(own) != "":
		if t.stricter == nil {
			t.stricter = map[string]int{}
		}
		t.stricter[explain(own)]++
	case accepted:
		complain("akd accepts, and no stated reason")
	case verified || byDigest:
		// The name is not the proof's, for akd got no further: all that ktaudit has to say is that.
		complain("akd refuses what ktaudit can read")
	default:
		t.refused++
	}
}

func (t *tally) print(akd string, count int) bool {
	if t.judged != count {
		t.complaints = append(t.complaints, fmt.Sprintf("%d judged, want %d", t.judged, count))
	}
	stricter := 0
	for _, n := range t.stricter {
		stricter += n
	}
	fmt.Printf("%-38s %-5s %7d %9d %9d %9d %9d", "mutants, whatsapp_v1", akd, t.judged, t.accepted, t.refused, stricter, len(t.complaints))
	for _, w := range why {
		fmt.Printf("  %s %d", w.what, t.stricter[w.what])
	}
	fmt.Println()
	for _, c := range t.complaints[:min(20, len(t.complaints))] {
		fmt.Println("    DISAGREEMENT:", c)
	}
	return len(t.complaints) == 0
}
