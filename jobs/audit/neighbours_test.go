package audit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
)

func newSplicedWorld(t *testing.T) *world { return worldOf(jobstest.NewSplicedWorld(t)) }

func (w *world) auditAll(t *testing.T, from, to uint64) {
	t.Helper()
	a := w.auditor(t)
	for epoch := from; epoch <= to; epoch++ {
		if _, err := a.Audit(t.Context(), epoch); err != nil {
			t.Fatal(err)
		}
	}
}

// A log that goes on from another digest than it had come to is found out in whatever order its
// epochs are judged, signed or not, and whatever becomes of the signed digests.
func TestForkedLogIsNotVerified(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		audit  func(t *testing.T, w *world)
		reason verdict.Reason
		head   uint64
	}{
		{"no keys, in order", func(t *testing.T, w *world) {
			w.config.Keys, w.config.Signatures = signature.Keys{}, nil
			w.auditAll(t, 1, 20)
		}, "equivocation", 10},
		{"no keys, the end first", func(t *testing.T, w *world) {
			w.config.Keys, w.config.Signatures = signature.Keys{}, nil
			w.auditAll(t, 11, 20)
			w.auditAll(t, 1, 10)
		}, "equivocation", 9},
		{"signed, in order", func(t *testing.T, w *world) { w.auditAll(t, 1, 20) }, "signature_digest_mismatch", 10},
		{"the last signed digest is spoilt after it was judged", func(t *testing.T, w *world) {
			w.auditAll(t, 1, 10)
			write(10, "{}")(t, w)
			w.auditAll(t, 1, 20)
		}, "equivocation", 10},
		{"the last signed digest is broken after it was judged", func(t *testing.T, w *world) {
			w.auditAll(t, 1, 10)
			breakSignature(10)(t, w)
			w.auditAll(t, 1, 20)
		}, "equivocation", 10},
		{"the last signed digest is taken away after it was judged", func(t *testing.T, w *world) {
			w.auditAll(t, 1, 10)
			unsign(10)(t, w)
			w.auditAll(t, 1, 20)
		}, "equivocation", 10},
		{"the last batch is replaced after it was judged", func(t *testing.T, w *world) {
			w.auditAll(t, 1, 10)
			key := w.KeyOf(t, 10)
			name, _, _ := fetcher.ParseKey(key)
			next, _, _ := fetcher.ParseKey(w.KeyOf(t, 11))
			name.Digest = next.PreviousDigest
			jobstest.MoveObject(t, w.Log, key, name.String())
			w.auditAll(t, 11, 20)
		}, "equivocation", 10},
		{"signed last, and the end first", func(t *testing.T, w *world) {
			signed := readSigned(t, w, 10)
			unsign(10)(t, w)
			w.config.First = 11
			w.auditAll(t, 11, 20)
			writeSigned(t, w, 10, signed)
			w.config.First = 1
			w.auditAll(t, 1, 10)
		}, "equivocation", 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newSplicedWorld(t)
			c.audit(t, w)
			s, err := report.ReadStatus(t.Context(), w.config.Store, jobstest.Namespace, verdict.Anchor{}, 1, 20)
			if err != nil || s.Good() || s.Head != c.head || s.VerifiedCount != 19 || len(s.Rejected) != 1 ||
				s.Rejected[0].Epoch != c.head+1 || s.Rejected[0].Reason != c.reason {
				t.Fatalf("status is %+v, %v", s, err)
			}
			w.WantArchived(t, c.head+1)
			if c.reason == "equivocation" {
				v := w.verdict(t, c.head+1)
				between := []string{w.verdict(t, 10).Batch.Key, w.verdict(t, 11).Batch.Key}
				for _, key := range between {
					if got := w.Evidence(t, c.head+1); len(got) != 1 || !strings.Contains(got[0], key) {
						t.Errorf("evidence is %q, want one that names %s", got, key)
					}
				}
				if !strings.Contains(v.Detail, "was verified to") {
					t.Errorf("detail is %q", v.Detail)
				}
			}
		})
	}
}

func (w *world) verdict(t *testing.T, epoch uint64) verdict.Verdict {
	t.Helper()
	v, err := w.config.Store.Verdict(t.Context(), jobstest.Namespace, epoch)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Two that are at neighbouring epochs at the same time don't see each other's verdict. Within a
// process they wait for it; between processes the status finds it.
func TestForkBetweenRacers(t *testing.T) {
	t.Parallel()
	t.Run("processes", func(t *testing.T) {
		t.Parallel()
		w := newSplicedWorld(t)
		w.config.Keys, w.config.Signatures = signature.Keys{}, nil
		store := w.config.Store
		var arrived sync.WaitGroup
		arrived.Add(2)
		w.config.Store = w.storeWith(t, func(_ context.Context, key string) error {
			if strings.Contains(key, "/verdicts/") {
				arrived.Done()
				arrived.Wait()
			}
			return nil
		})
		var audits sync.WaitGroup
		for _, epoch := range []uint64{10, 11} {
			a := w.auditor(t)
			audits.Go(func() {
				if v, err := a.Audit(t.Context(), epoch); err != nil || v.Outcome != verdict.Verified {
					t.Errorf("epoch %d is %s, %v", epoch, v.Outcome, err)
				}
			})
		}
		audits.Wait()
		w.config.Store = store
		before, after := w.verdict(t, 10), w.verdict(t, 11)
		s, err := report.ReadStatus(t.Context(), store, jobstest.Namespace, verdict.Anchor{}, 10, 11)
		want := []report.Break{{Epoch: 11, PreviousDigest: after.PreviousDigest, Expected: before.Digest}}
		if err != nil || s.Good() || s.Head != 10 || !cmp.Equal(s.Breaks, want) {
			t.Errorf("status is %+v, %v, want %+v", s, err, want)
		}
	})
	t.Run("a process", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, auditSplicedTogether)
	})
}

// auditSplicedTogether audits two neighbours at the same time, the first of which writes only once
// the other waits.
func auditSplicedTogether(t *testing.T) {
	w := newSplicedWorld(t)
	w.config.Keys, w.config.Signatures = signature.Keys{}, nil
	store := w.config.Store
	first, other := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.config.Store = w.storeWith(t, func(_ context.Context, key string) error {
		if strings.Contains(key, "/verdicts/") {
			once.Do(func() { // the first writes when the other could have looked around
				close(first)
				<-other
			})
		}
		return nil
	})
	a := w.auditor(t)
	var audits sync.WaitGroup
	audit := func(epoch uint64) func() {
		return func() {
			if _, err := a.Audit(t.Context(), epoch); err != nil {
				t.Error(err)
			}
		}
	}
	audits.Go(audit(10))
	<-first
	audits.Go(audit(11))
	synctest.Wait()
	close(other)
	audits.Wait()
	s, err := report.ReadStatus(t.Context(), store, jobstest.Namespace, verdict.Anchor{}, 10, 11)
	if err != nil || len(s.Breaks) != 0 || s.VerifiedCount != 1 || len(s.Rejected) != 1 || s.Rejected[0].Reason != verdict.Equivocation {
		t.Errorf("status is %+v, %v", s, err)
	}
}

// Somebody must look at a verdict that cannot be read, but nobody has to before the epochs beside
// it are judged.
func TestUnreadableNeighbour(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 3})
	key := fmt.Sprintf("%s/verdicts/%09d/%012d.json", jobstest.Namespace, 0, 2)
	if err := w.Audit.WriteAll(t.Context(), key, []byte("{"), nil); err != nil {
		t.Fatal(err)
	}
	for _, epoch := range []uint64{1, 3} {
		if v, err := w.auditor(t).Audit(t.Context(), epoch); err != nil || v.Outcome != verdict.Verified {
			t.Errorf("epoch %d is %s, %v", epoch, v.Outcome, err)
		}
	}
}

// What happens to a batch while it is judged.
func TestBatchIsListedAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		tamper simlog.Kind
		change func(t *testing.T, w *world, key string)
		reason verdict.Reason // of the rejection, "" for none
		err    error          // instead of a verdict
	}{
		{name: "another appears", change: func(t *testing.T, w *world, key string) {
			name, _, _ := fetcher.ParseKey(key)
			name.Digest[0] ^= 1
			if err := w.Log.WriteAll(t.Context(), name.String(), nil, nil); err != nil {
				t.Error(err)
			}
		}, reason: "equivocation"},
		{name: "another takes its place", change: func(t *testing.T, w *world, key string) {
			name, _, _ := fetcher.ParseKey(key)
			name.Digest[0] ^= 1
			jobstest.MoveObject(t, w.Log, key, name.String())
		}, reason: "equivocation"},
		{name: "it disappears", change: func(t *testing.T, w *world, key string) { jobstest.MoveObject(t, w.Log, key, "") },
			err: fetcher.ErrNotPublished},
		{name: "it gets a name that is none", change: func(t *testing.T, w *world, key string) { jobstest.MoveObject(t, w.Log, key, key+".bak") },
			err: errTakenAway},
		{name: "it is compressed too", change: func(t *testing.T, w *world, key string) {
			if err := w.Log.WriteAll(t.Context(), key+".zst", nil, nil); err != nil {
				t.Error(err)
			}
		}},
		{name: "rejected, it is written again", tamper: simlog.Malformed, change: func(t *testing.T, w *world, key string) {
			if err := w.Log.WriteAll(t.Context(), key, []byte("mended"), nil); err != nil {
				t.Error(err)
			}
		}, err: fetcher.ErrChanged},
		{name: "rejected, another appears", tamper: simlog.Malformed, change: func(t *testing.T, w *world, key string) {
			name, _, _ := fetcher.ParseKey(key)
			name.Digest[0] ^= 1
			if err := w.Log.WriteAll(t.Context(), name.String(), nil, nil); err != nil {
				t.Error(err)
			}
		}, reason: "equivocation"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := simlog.Options{Epochs: 2, Tamper: map[uint64]simlog.Kind{}}
			if c.tamper != "" {
				o.Tamper[2] = c.tamper
			}
			w := newWorld(t, o)
			key := w.KeyOf(t, 2)
			// The last time that the batch is read, it changes.
			looks := map[simlog.Kind]int{"": 1, simlog.Malformed: 2}[c.tamper]
			var once sync.Once
			faults := &jobstest.FaultyReads{Seed: rand.New(rand.NewPCG(1, 1)), BeforeOpen: func() { looks-- }, Closed: func() {
				if looks == 0 {
					once.Do(func() { c.change(t, w, key) })
				}
			}}
			w.config.Fetcher = fetcher.New(faults.Over(t, w.Log), fetcher.Options{})
			v, err := w.auditor(t).Audit(t.Context(), 2)
			switch {
			case c.err == errTakenAway:
				if err == nil || !strings.Contains(err.Error(), "taken away") {
					t.Errorf("error is %v", err)
				}
			case c.err != nil:
				if !errors.Is(err, c.err) {
					t.Errorf("error is %v, want %v", err, c.err)
				}
			case err != nil || v.Reason != c.reason:
				t.Errorf("verdict is %s (%s: %s), %v", v.Outcome, v.Reason, v.Detail, err)
			}
			if c.err != nil {
				if _, err := w.config.Store.Verdict(t.Context(), jobstest.Namespace, 2); !errors.Is(err, auditstore.ErrNotFound) {
					t.Errorf("a verdict was written, %v", err)
				}
			}
			if c.reason != "" {
				if v.Batch.Key != key || !slices.ContainsFunc(w.Evidence(t, 2), func(e string) bool { return strings.Contains(e, key) }) {
					t.Errorf("the verdict is on %s, evidence %q", v.Batch.Key, w.Evidence(t, 2))
				}
			}
		})
	}
}

var errTakenAway = errors.New("taken away")
