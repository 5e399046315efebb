package audit

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/verdict"
)

// Faults of every kind, in every request, never become a verdict; and as they are transient, every
// epoch gets one in the end.
func TestFaultsNeverBecomeVerdicts(t *testing.T) {
	t.Parallel()
	const epochs = 12
	tampered := map[uint64]simlog.Kind{3: simlog.Malformed, 5: simlog.Digest, 7: simlog.SignedDigest, 9: simlog.Equivocate}
	w := newWorld(t, simlog.Options{Epochs: epochs, Compression: simlog.Mixed, Tamper: tampered})
	for seed := range uint64(12) {
		faults := &jobstest.FaultyReads{Seed: rand.New(rand.NewPCG(seed, 1)), Share: 0.3}
		log := faults.Over(t, w.Log)
		audit := jobstest.OpenMemory(t)
		w := worldOf(jobstest.WorldIn(t, log, faults.Over(t, w.Signatures), auditstore.New(audit)))
		a := w.auditor(t)
		attempts := 0
		for epoch := uint64(1); epoch <= epochs; epoch++ {
			v, err := a.Audit(t.Context(), epoch)
			for ; err != nil; attempts++ {
				if attempts > 10_000 {
					t.Fatalf("seed %d, epoch %d: no end: %v", seed, epoch, err)
				}
				v, err = a.Audit(t.Context(), epoch)
			}
			outcome, reason := verdict.Verified, verdict.Reason("")
			if kind, ok := tampered[epoch]; ok {
				outcome, reason = simlog.Expected(kind)
			}
			if v.Outcome != outcome || v.Reason != reason {
				t.Errorf("seed %d: epoch %d is %s (%s: %s), want %s (%s)", seed, epoch, v.Outcome, v.Reason, v.Detail, outcome, reason)
			}
		}
		if attempts == 0 {
			t.Errorf("seed %d: nothing ever failed", seed)
		}
	}
}

// A body that was damaged on its way is fetched again before the epoch is rejected.
func TestDamagedBodyIsNotRejected(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 1})
	faults := &jobstest.FaultyReads{Seed: rand.New(rand.NewPCG(1, 1)), Damage: 1}
	w.config.Fetcher = fetcher.New(faults.Over(t, w.Log), fetcher.Options{})
	a := w.auditor(t)
	if _, err := a.Audit(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "two different bodies") {
		t.Fatalf("error is %v, want one about two different bodies", err)
	}
	faults.Damage = 0
	if v, err := a.Audit(t.Context(), 1); err != nil || v.Outcome != verdict.Verified {
		t.Errorf("verdict is %s (%s), %v", v.Outcome, v.Reason, err)
	}
}

// A log that replaces a batch by one of another name between two looks has published both.
func TestReplacedBatchIsEquivocation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 1, Tamper: map[uint64]simlog.Kind{1: simlog.Malformed}})
	before := w.KeyOf(t, 1)
	name, _, err := fetcher.ParseKey(before)
	if err != nil {
		t.Fatal(err)
	}
	name.Digest[0] ^= 1
	faults := &jobstest.FaultyReads{Seed: rand.New(rand.NewPCG(1, 1)), AfterOpen: func() { jobstest.MoveObject(t, w.Log, before, name.String()) }}
	w.config.Fetcher = fetcher.New(faults.Over(t, w.Log), fetcher.Options{})
	v, err := w.auditor(t).Audit(t.Context(), 1)
	if err != nil || v.Reason != verdict.Equivocation {
		t.Fatalf("verdict is %s (%s: %s), %v", v.Outcome, v.Reason, v.Detail, err)
	}
	for _, key := range []string{before, name.String()} {
		if !strings.Contains(v.Detail, key) {
			t.Errorf("detail %q does not name %s", v.Detail, key)
		}
	}
}
