package verify

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/validator"
)

func verifier(w *jobstest.World, f *fetcher.Fetcher, budget *Budget) *Verifier {
	budget.Join(jobstest.Namespace)
	return &Verifier{
		Namespace: jobstest.Namespace, Configuration: validator.WhatsAppV1(),
		Fetcher: f, Store: w.Store, Budget: budget,
	}
}

// mustVerify reads an epoch's batch, which is to be good.
func mustVerify(t *testing.T, v *Verifier, epoch uint64) {
	t.Helper()
	object, err := v.Fetcher.Locate(t.Context(), epoch)
	if err != nil {
		t.Error(err)
		return
	}
	found, err := v.Batch(t.Context(), observe.Nothing{}, object, Options{})
	if err != nil || found.Result.Outcome != validator.Verified {
		t.Errorf("epoch %d is %s (%s: %s), %v", epoch, found.Result.Outcome, found.Result.Reason, found.Result.Detail, err)
	}
}

// A few bytes can ask a decoder for a window of any size, and it is the budget that must give it.
func TestMemoryForWindows(t *testing.T) {
	t.Parallel()
	const MiB = 1 << 20
	for _, c := range []struct {
		name      string
		extension string
		window    int     // 0: not compressed
		windows   []int64 // that memory is set aside for, at each look
	}{
		{"not compressed", "", 0, []int64{0}},
		{"usual", ".zst", 8 * MiB, []int64{8 * MiB}},
		{"usual, with no extension that says so", "", 8 * MiB, []int64{0}},
		{"small, with no extension that says so", "", 256 << 10, []int64{0}},
		{"wide", ".zst", 32 * MiB, []int64{8 * MiB}},
		{"wide, with no extension that says so", "", 32 * MiB, []int64{0}},
		{"wider than there is room for", ".zst", 256 * MiB, []int64{8 * MiB}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := jobstest.NewWorld(t, simlog.Options{Epochs: 1})
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
			budget := NewBudget(256 << 20)
			var reserved []int64
			faults := &jobstest.FaultyReads{Seed: rand.New(rand.NewPCG(1, 1)), BeforeOpen: func() {
				reserved = append(reserved, budget.Reserved())
			}}
			v := verifier(w, fetcher.New(faults.Over(t, w.Log), fetcher.Options{MaxWindow: 32 * MiB}), budget)
			mustVerify(t, v, 1)
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

// What a fetcher holds of an object before it is read is set aside with the rest, whether the batch
// is confined or not, for as long as it is fetched.
func TestRangesAreSetAside(t *testing.T) {
	t.Parallel()
	const size, ahead = 45 << 20, 24 << 20
	need := memoryFor(size, 0)
	v := &Verifier{Budget: NewBudget(need + ahead)}
	v.Budget.Join(v.Namespace)
	if r := v.reserve(size, 0, ahead); r.confined || r.memory != need+ahead || r.until(0) != memoryWhenSmall+ahead || r.until(size) != r.memory {
		t.Errorf("%+v, at first %d", r, r.until(0))
	}
	v = &Verifier{Budget: NewBudget(need + ahead - 1)}
	v.Budget.Join(v.Namespace)
	if r := v.reserve(size, 0, ahead); !r.confined || r.memory != v.Budget.Size()/2 || r.passing() != r.memory-ahead-memoryForFetch {
		t.Errorf("confined: %+v with %d for the validator", r, r.passing())
	}
}

// Where ranges would take much of the budget, none are fetched ahead: all that is in use is within
// the budget.
func TestRangesOfASmallBudget(t *testing.T) {
	t.Parallel()
	for _, ahead := range []int64{24 << 20, 64 << 20} {
		v := &Verifier{Budget: NewBudget(32 << 20)}
		v.Budget.Join(v.Namespace)
		if r := v.reserve(64<<20, usualWindow, ahead); r.memory > v.Budget.Size() || r.ahead != 0 {
			t.Errorf("with %d bytes of ranges: %+v", ahead, r)
		}
	}
}

// Ten big epochs on a machine with memory for two at a time queue up.
func TestBigEpochsQueueForMemory(t *testing.T) {
	t.Parallel()
	const epochs = 10
	w := jobstest.NewWorld(t, simlog.Options{Epochs: epochs, FirstLoad: 4000, Insertions: 4000})
	object, err := w.Fetcher.Locate(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if object.Size <= smallBatch {
		t.Fatalf("a batch of %d bytes is a small one", object.Size)
	}
	g := jobstest.NewGate()
	faults := &jobstest.FaultyReads{Seed: rand.New(rand.NewPCG(1, 2)), BeforeOpen: g.Pass}
	budget := NewBudget(2*memoryFor(object.Size, 0) + memoryFor(object.Size, 0)/2)
	v := verifier(w, fetcher.New(faults.Over(t, w.Log), fetcher.Options{}), budget)
	var all sync.WaitGroup
	for epoch := uint64(1); epoch <= epochs; epoch++ {
		all.Go(func() { mustVerify(t, v, epoch) })
	}
	// Whoever enters has its memory.
	<-g.Entered
	<-g.Entered
	if budget.Size()-budget.Reserved() >= memoryFor(object.Size, 0) {
		t.Error("there is memory for a third")
	}
	close(g.Open)
	all.Wait()
}

// The order of a proof's elements means nothing: a batch that is in none takes more memory, or
// several passes where there is not that much, and is verified.
func TestHostileBatchInNoOrder(t *testing.T) {
	t.Parallel()
	name, shuffled, proof := jobstest.ShuffledBatch(t)
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
		looks := 0
		faults := &jobstest.FaultyReads{Seed: rand.New(rand.NewPCG(1, 1)), BeforeOpen: func() { looks++ }}
		w := jobstest.WorldIn(t, log, nil, auditstore.New(jobstest.OpenMemory(t)))
		v := verifier(w, fetcher.New(faults.Over(t, log), fetcher.Options{}), NewBudget(c.budget))
		mustVerify(t, v, 3)
		if looks != c.looks {
			t.Errorf("%s: %d looks, want %d", what, looks, c.looks)
		}
	}
}
