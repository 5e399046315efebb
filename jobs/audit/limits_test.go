package audit

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
)

func TestBatchThatUnpacksToMoreThanExpected(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 1})
	w.config.Archive = true
	key := w.KeyOf(t, 1)
	proof, err := w.Log.ReadAll(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	// An unknown field of 3 MiB zeros, which every decoder skips and which nearly vanishes in
	// compression.
	proof = append(proof, 15<<3|2, 0x80, 0x80, 0xc0, 0x01)
	proof = append(proof, make([]byte, 3<<20)...)
	encoder, _ := zstd.NewWriter(nil)
	stored := encoder.EncodeAll(proof, nil)
	if err := w.Log.WriteAll(t.Context(), key, stored, nil); err != nil {
		t.Fatal(err)
	}
	v, err := w.auditor(t).Audit(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if v.Outcome != verdict.Verified || v.Batch.Bytes != int64(len(proof)) || v.Batch.StoredBytes != int64(len(stored)) {
		t.Errorf("verdict is %+v", v)
	}
}

func TestTooLargeIsRejected(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		limits fetcher.Options
		proof  validator.Options
	}{
		{"stored", fetcher.Options{MaxStoredBytes: 100}, validator.Options{}},
		{"unpacked", fetcher.Options{MaxBytes: 100}, validator.Options{}},
		{"proof", fetcher.Options{}, validator.Options{MaxBytes: 100}},
		{"elements", fetcher.Options{}, validator.Options{MaxElements: 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, simlog.Options{Epochs: 1})
			w.config.Fetcher, w.config.Limits = fetcher.New(w.Log, c.limits), c.proof
			v, err := w.auditor(t).Audit(t.Context(), 1)
			if err != nil || v.Reason != verdict.BatchTooLarge {
				t.Errorf("verdict is %s (%s), %v", v.Outcome, v.Reason, err)
			}
			if c.name == "stored" { // and so was not read
				if got := w.Evidence(t, 1); len(got) != 1 || !strings.Contains(got[0], w.KeyOf(t, 1)) {
					t.Errorf("evidence is %q", got)
				}
			} else {
				w.WantArchived(t, 1)
			}
		})
	}
}

// Ten big epochs on a machine with memory for two at a time queue up.
func TestBigEpochsQueueForMemory(t *testing.T) {
	t.Parallel()
	const epochs = 10
	w := newWorld(t, simlog.Options{Epochs: epochs, FirstLoad: 4000, Insertions: 4000})
	object, err := w.config.Fetcher.Locate(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if object.Size <= smallBatch {
		t.Fatalf("a batch of %d bytes is a small one", object.Size)
	}
	g := jobstest.NewGate()
	w.config.Fetcher = fetcher.New((&jobstest.FaultyReads{Seed: rand.New(rand.NewPCG(1, 2)), BeforeOpen: g.Pass}).Over(t, w.Log), fetcher.Options{})
	w.config.Budget = NewBudget(2*memoryFor(object.Size, 0) + memoryFor(object.Size, 0)/2)
	a := w.auditor(t)
	results := make(chan error, epochs)
	for epoch := uint64(1); epoch <= epochs; epoch++ {
		go func() {
			v, err := a.Audit(context.Background(), epoch)
			if err == nil && v.Outcome != verdict.Verified {
				err = errors.New(v.Detail)
			}
			results <- err
		}()
	}
	// The signed digests are read from another bucket, so whoever enters has its memory.
	<-g.Entered
	<-g.Entered
	if w.config.Budget.Size()-w.config.Budget.Reserved() >= memoryFor(object.Size, 0) {
		t.Error("there is memory for a third")
	}
	close(g.Open)
	for range epochs {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}
