package audit

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
	"google.golang.org/protobuf/encoding/protowire"
)

// A few bytes can ask a decoder for a window of any size, and it is the budget that must give it.
func TestMemoryForWindows(t *testing.T) {
	t.Parallel()
	const MiB = 1 << 20
	for _, c := range []struct {
		name      string
		extension string
		window    int            // 0: not compressed
		windows   []int64        // that memory is set aside for, at each look
		reason    verdict.Reason // of the rejection
	}{
		{"not compressed", "", 0, []int64{0}, ""},
		{"usual", ".zst", 8 * MiB, []int64{8 * MiB}, ""},
		{"usual, with no extension that says so", "", 8 * MiB, []int64{0}, ""},
		{"small, with no extension that says so", "", 256 << 10, []int64{0}, ""},
		{"wide", ".zst", 32 * MiB, []int64{8 * MiB}, ""},
		{"wide, with no extension that says so", "", 32 * MiB, []int64{0}, ""},
		{"wider than there is room for", ".zst", 256 * MiB, []int64{8 * MiB}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, simlog.Options{Epochs: 1})
			key := w.KeyOf(t, 1)
			proof, err := w.Log.ReadAll(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			if c.window > 0 {
				var stored bytes.Buffer
				encoder, err := zstd.NewWriter(&stored, zstd.WithWindowSize(c.window))
				if err == nil {
					// in two writes, so that it can't know the size
					_, err = encoder.Write(proof[:len(proof)/2])
				}
				if err == nil {
					err = encoder.Flush()
				}
				if err == nil {
					_, err = encoder.Write(proof[len(proof)/2:])
				}
				if err == nil {
					err = encoder.Close()
				}
				if err == nil {
					err = w.Log.WriteAll(t.Context(), key+c.extension, stored.Bytes(), nil)
				}
				if err == nil && c.extension != "" {
					err = w.Log.Delete(t.Context(), key)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			var reserved []int64
			faults := &jobstest.FaultyReads{Seed: rand.New(rand.NewPCG(1, 1)), BeforeOpen: func() {
				reserved = append(reserved, w.config.Budget.Reserved())
			}}
			w.config.Fetcher = fetcher.New(faults.Over(t, w.Log), fetcher.Options{MaxWindow: 32 * MiB})
			v, err := w.auditor(t).Audit(t.Context(), 1)
			if err != nil || v.Reason != c.reason {
				t.Errorf("verdict is %s (%s: %s), %v", v.Outcome, v.Reason, v.Detail, err)
			}
			guess := int64(smallBatch)
			if c.extension != "" {
				guess *= compressionGuess
			}
			var want []int64
			for _, window := range c.windows {
				want = append(want, memoryFor(guess, 0)+window)
			}
			if diff := cmp.Diff(want, reserved); diff != "" {
				t.Errorf("memory set aside differs (-want +got):\n%s", diff)
			}
		})
	}
}

// shuffledBatch returns a batch of the vectors: its name, its elements in no order, and as it was
// published.
func shuffledBatch(t *testing.T) (name string, shuffled, published []byte) {
	t.Helper()
	paths, err := filepath.Glob("../../testdata/vectors/whatsapp-v1/medium/3/*/*")
	if err != nil || len(paths) != 1 {
		t.Fatalf("vectors are %v, %v", paths, err)
	}
	proof, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	var elements [][]byte
	for rest := proof; len(rest) > 0; {
		n := protowire.ConsumeFieldValue(1, protowire.BytesType, rest[1:])
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		elements, rest = append(elements, rest[:1+n]), rest[1+n:]
	}
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(elements), func(i, j int) { elements[i], elements[j] = elements[j], elements[i] })
	return fmt.Sprintf("3/%s/%s", filepath.Base(filepath.Dir(paths[0])), filepath.Base(paths[0])), slices.Concat(elements...), proof
}

// The order of a proof's elements means nothing: a batch that is in none takes more memory, or
// several passes where there is not that much, and is verified.
func TestHostileBatchInNoOrder(t *testing.T) {
	t.Parallel()
	name, shuffled, proof := shuffledBatch(t)
	for what, c := range map[string]struct {
		content []byte
		budget  int64
		looks   int
	}{
		"as published":                {proof, 256 << 20, 1},
		"shuffled":                    {shuffled, 256 << 20, 2},
		"shuffled, in a small budget": {shuffled, memoryFor(int64(len(proof)), 0) - 1, 3},
	} {
		content := c.content
		log := jobstest.OpenMemory(t)
		if err := log.WriteAll(t.Context(), name, content, nil); err != nil {
			t.Fatal(err)
		}
		config := worldOf(jobstest.WorldIn(t, log, nil, auditstore.New(jobstest.OpenMemory(t)))).config
		config.Keys = signature.Keys{}
		config.Budget = NewBudget(c.budget)
		looks := 0
		faults := &jobstest.FaultyReads{Seed: rand.New(rand.NewPCG(1, 1)), BeforeOpen: func() { looks++ }}
		config.Fetcher = fetcher.New(faults.Over(t, log), fetcher.Options{})
		a, err := New(config)
		if err != nil {
			t.Fatal(err)
		}
		v, err := a.Audit(t.Context(), 3)
		if err != nil || v.Outcome != verdict.Verified || v.Inserted == 0 {
			t.Errorf("%s: verdict is %s (%s), %v", what, v.Outcome, v.Detail, err)
		}
		if looks != c.looks {
			t.Errorf("%s: %d looks, want %d", what, looks, c.looks)
		}
	}
}
