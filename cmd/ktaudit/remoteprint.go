package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/text"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/validator"
)

// labels writes plexi's lines of a label and a value, with bold labels on a terminal.
type labels struct {
	app   *app
	width int
	bold  bool
}

func (a *app) labels(width int) labels {
	return labels{a, width, isTerminal(a.out.w) && os.Getenv("NO_COLOR") == ""}
}

// line writes one of them. The value may be an auditor's.
func (l labels) line(label, value string) {
	label = fmt.Sprintf("%-*s", l.width, label)
	if l.bold {
		label = "\x1b[1m" + label + "\x1b[0m"
	}
	l.app.printf("  %s: %s\n", label, text.Clean(value, maxShownText))
}

// ciphersuiteText names a ciphersuite as plexi does.
func ciphersuiteText(suite uint32) string {
	switch suite {
	case signature.CiphersuiteProtobuf:
		return "ed25519(protobuf)"
	case signature.CiphersuiteBincode:
		return "ed25519(bincode)"
	}
	return fmt.Sprintf("unknown %d", suite)
}

// statusText is an outcome in plexi's words, which has none for what there is no telling of.
func statusText(outcome, why string) string {
	switch outcome {
	case string(validator.Verified), outcomeRoot:
		return "success"
	case outcomeUnchecked:
		return "-"
	case outcomeRejected:
		return "failed - " + text.Clean(why, maxShownText)
	}
	return "unknown - " + text.Clean(why, maxShownText)
}

func (e auditedEpoch) proofText() string {
	why := e.ProofError
	if e.ProofReason != "" {
		why = e.ProofReason + ": " + why
	}
	return statusText(e.ProofOutcome, why)
}

// short is all in one status.
func (e auditedEpoch) short() string {
	if e.SignatureOutcome == string(validator.Verified) && e.ProofOutcome != outcomeUnchecked {
		return e.proofText()
	}
	return statusText(e.SignatureOutcome, e.SignatureError)
}

// signedAtText is a time as plexi writes it. An auditor may write any number.
func signedAtText(milliseconds uint64) string {
	const maxSeconds = 253_402_300_799 // the end of the year 9999
	if milliseconds/1000 > maxSeconds {
		return fmt.Sprintf("%d ms after 1970", milliseconds)
	}
	return time.UnixMilli(int64(milliseconds)).UTC().Format("2006-01-02T15:04:05Z")
}

// printAudited prints an epoch as plexi does, and what was not checked to standard error.
func (a *app) printAudited(e auditedEpoch, long, several bool) error {
	switch {
	case a.json:
		return a.object(e)
	case !long && several:
		a.printf("epoch %d: %s\n", e.Epoch, e.short())
	case !long || e.Signature == "": // nothing that could be shown at length
		a.printf("%s\n", e.short())
	default:
		l := a.labels(22)
		a.printf("Namespace\n")
		l.line("Name", e.Namespace)
		l.line("Ciphersuite", ciphersuiteText(e.Ciphersuite))
		a.printf("\nSignature (%s)\n", signedAtText(e.Timestamp))
		l.line("Epoch height", fmt.Sprint(e.Epoch))
		l.line("Epoch digest", e.Digest)
		l.line("Signature", e.Signature)
		l.line("Signature verification", statusText(e.SignatureOutcome, e.SignatureError))
		l.line("Proof verification", e.proofText())
		if several {
			a.printf("\n")
		}
	}
	if !several {
		a.printNotChecked(e.NotChecked)
	}
	return a.out.err
}

// printNotChecked goes to standard error, so that results stay as plexi's.
func (a *app) printNotChecked(what []string) {
	if len(what) > 0 {
		fmt.Fprintf(a.bars, "not checked: %s\n", strings.Join(what, "\nnot checked: "))
	}
}

// auditSummary counts epochs and prints each.
type auditSummary struct {
	app           *app
	long, several bool

	total, verified, rejected, unknown uint64
	notChecked                         []string // of any epoch
}

func (s *auditSummary) print(e auditedEpoch) error {
	s.total++
	switch e.Outcome {
	case string(validator.Verified), outcomeUnchecked:
		s.verified++
	case outcomeRejected:
		s.rejected++
	default:
		s.unknown++
	}
	for _, what := range e.NotChecked { // of others their line tells
		if e.Outcome != outcomeUnknown && e.Outcome != outcomeRejected && !slices.Contains(s.notChecked, what) {
			s.notChecked = append(s.notChecked, what)
		}
	}
	if !s.several {
		s.app.bars.finish() // that of the proof
		return s.app.printAudited(e, s.long, false)
	}
	s.app.bars.clear()
	err := s.app.printAudited(e, s.long, true)
	s.app.bars.set(s.total)
	return err
}

// finish prints the counts of several epochs, and says how the command ends.
func (s *auditSummary) finish() error {
	a := s.app
	if s.several && !a.json {
		a.printf("%d of %d good", s.verified, s.total)
		if s.rejected > 0 {
			a.printf(", %d failed", s.rejected)
		}
		if s.unknown > 0 {
			a.printf(", %d unknown", s.unknown)
		}
		a.printf("\n")
		a.printNotChecked(s.notChecked)
	}
	switch {
	case s.rejected > 0:
		return errFound
	case s.unknown > 0:
		return fmt.Errorf("%d of %d epochs could not be checked", s.unknown, s.total)
	}
	return nil
}
