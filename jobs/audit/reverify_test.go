package audit

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/reaudited"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
)

// auditStoreKeys lists what is in the audit store.
func (w *world) auditStoreKeys(t *testing.T) []string {
	t.Helper()
	var keys []string
	for objects := w.Audit.List(nil); ; {
		o, err := objects.Next(t.Context())
		if err == io.EOF {
			return keys
		}
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, o.Key)
	}
}

// newAuditedWorld is a log of 8 epochs, of which 2, 3, 5 and 6 were rejected, 6 for its name alone.
func newAuditedWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, simlog.Options{Epochs: 8, Tamper: map[uint64]simlog.Kind{
		2: simlog.Overlap, 3: simlog.Signature, 5: simlog.Malformed, 6: simlog.Equivocate,
	}})
	for epoch := uint64(1); epoch <= 8; epoch++ {
		if _, err := w.auditor(t).Audit(t.Context(), epoch); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func TestReauditFindsTheSameAndWritesNothing(t *testing.T) {
	t.Parallel()
	w := newAuditedWorld(t)
	w.config.Archive = true
	a, before := w.auditor(t), w.auditStoreKeys(t)
	for epoch := uint64(1); epoch <= 8; epoch++ {
		found, err := a.Reaudit(t.Context(), epoch)
		recorded, recordErr := w.config.Store.Verdict(t.Context(), jobstest.Namespace, epoch)
		if err != nil || recordErr != nil || found.Contradicts(recorded) || found.Reason != recorded.Reason {
			t.Errorf("epoch %d: found %s %s, %v, on record is %s %s, %v",
				epoch, found.Outcome, found.Reason, err, recorded.Outcome, recorded.Reason, recordErr)
		}
	}
	if after := w.auditStoreKeys(t); !slices.Equal(before, after) {
		t.Errorf("the audit store has %q, had %q", after, before)
	}
}

func TestReauditContradicts(t *testing.T) {
	t.Parallel()
	w := newAuditedWorld(t)
	if err := w.Log.WriteAll(t.Context(), w.KeyOf(t, 4), []byte("rewritten"), nil); err != nil {
		t.Fatal(err)
	}
	evidence := len(w.Evidence(t, 4))
	for range 2 {
		found, err := w.auditor(t).Reaudit(t.Context(), 4)
		contradiction, ok := errors.AsType[*ContradictionError](err)
		if !ok || found.Outcome != verdict.Rejected || contradiction.Recorded.Outcome != verdict.Verified {
			t.Fatalf("found %s %s, error %v, want a ContradictionError", found.Outcome, found.Reason, err)
		}
	}
	if v, err := w.config.Store.Verdict(t.Context(), jobstest.Namespace, 4); err != nil || v.Outcome != verdict.Verified {
		t.Errorf("on record is %s, %v: a verdict never changes", v.Outcome, err)
	}
	if got := w.Evidence(t, 4); len(got) <= evidence || !strings.Contains(got[evidence], `"malformed_proof"`) {
		t.Errorf("evidence is %q", got)
	}
	alerts := 0
	for _, key := range w.auditStoreKeys(t) {
		if strings.Contains(key, "/alerts/open/") && strings.Contains(key, "contradiction") {
			alerts++
		}
	}
	if alerts != 1 {
		t.Errorf("%d alerts on the contradiction, want 1 for both looks", alerts)
	}
}

func TestReauditDoesNotJudgeWhatItCannotSee(t *testing.T) {
	t.Parallel()
	w := newAuditedWorld(t)
	jobstest.MoveObject(t, w.Log, w.KeyOf(t, 7), "")
	before := w.auditStoreKeys(t)
	if _, err := w.auditor(t).Reaudit(t.Context(), 7); !errors.Is(err, fetcher.ErrNotPublished) {
		t.Errorf("a batch that is no longer there: error %v, want ErrNotPublished", err)
	}
	if _, err := w.auditor(t).Reaudit(t.Context(), 9); !errors.Is(err, auditstore.ErrNotFound) {
		t.Errorf("an epoch without a verdict: error %v, want ErrNotFound", err)
	}
	w.config.Keys = signature.Keys{}
	if _, err := w.auditor(t).Reaudit(t.Context(), 3); !errors.Is(err, ErrNeedsKeys) {
		t.Errorf("without keys: error %v, want ErrNeedsKeys", err)
	}
	if after := w.auditStoreKeys(t); !slices.Equal(before, after) {
		t.Errorf("the audit store has %q, had %q", after, before)
	}
}

func TestReverifyChooses(t *testing.T) {
	t.Parallel()
	w := newAuditedWorld(t)
	for _, c := range []struct {
		name   string
		choice Reverification
		count  int
		within []uint64
	}{
		{"all", Reverification{Concurrency: 3}, 8, []uint64{1, 2, 3, 4, 5, 6, 7, 8}},
		{"a range", Reverification{From: 3, To: 4}, 2, []uint64{3, 4}},
		{"some, once each", Reverification{Epochs: []uint64{5, 1, 5}}, 2, []uint64{1, 5}},
		{"a sample", Reverification{From: 2, Sample: 3}, 3, []uint64{2, 3, 4, 5, 6, 7, 8}},
		{"a sample of fewer", Reverification{To: 2, Sample: 3}, 2, []uint64{1, 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var got []uint64
			err := w.auditor(t).Reverify(t.Context(), c.choice, func(epoch uint64, found verdict.Verdict, err error) {
				if err != nil || found.Epoch != epoch {
					t.Errorf("epoch %d: found one on %d, %v", epoch, found.Epoch, err)
				}
				got = append(got, epoch)
			})
			slices.Sort(got)
			outside := slices.ContainsFunc(got, func(epoch uint64) bool { return !slices.Contains(c.within, epoch) })
			if err != nil || outside || len(slices.Compact(got)) != c.count {
				t.Errorf("looked at %d, %v, want %d of %d", got, err, c.count, c.within)
			}
		})
	}
}

func TestReverifyStopsWhenTold(t *testing.T) {
	t.Parallel()
	w := newAuditedWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	visited := 0
	err := w.auditor(t).Reverify(ctx, Reverification{}, func(uint64, verdict.Verdict, error) {
		visited++
		cancel()
	})
	if !errors.Is(err, context.Canceled) || visited != 1 {
		t.Errorf("error %v after %d epochs, want it cancelled after 1", err, visited)
	}
}

// A log may write its objects anew, as when they move to another bucket. That is looked at once for
// each listing, and accuses nobody.
func TestReauditNotesThatAnotherListingHasTheSameBytes(t *testing.T) {
	t.Parallel()
	w := newAuditedWorld(t)
	recorded, err := w.config.Store.Verdict(t.Context(), jobstest.Namespace, 4)
	if err != nil {
		t.Fatal(err)
	}
	rewrite := func() verdict.Batch {
		key := w.KeyOf(t, 4)
		data, err := w.Log.ReadAll(t.Context(), key)
		if err == nil {
			err = w.Log.WriteAll(t.Context(), key, data, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		object, err := w.Fetcher.Locate(t.Context(), 4)
		if err != nil {
			t.Fatal(err)
		}
		return object.Listed()
	}
	for range 2 {
		listed := rewrite()
		if recorded.Batch.IsListedAs(listed) {
			t.Fatal("a batch that was written anew is listed as before")
		}
		for _, want := range []bool{false, true} {
			if got, err := reaudited.Is(t.Context(), w.config.Store, jobstest.Namespace, 4, listed); err != nil || got != want {
				t.Fatalf("the listing was audited: %t, %v, want %t", got, err, want)
			}
			if _, err := w.auditor(t).Reaudit(t.Context(), 4); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := w.Evidence(t, 4); len(got) > 0 {
		t.Errorf("evidence against a log that wrote the same bytes anew: %q", got)
	}
}
