package audit

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/verdict"
)

// An epoch costs the index of digests one request, which comes before the verdict; a rejected one
// costs none.
func TestDigestIsEnteredBeforeTheVerdict(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 3, Tamper: map[uint64]simlog.Kind{2: simlog.Malformed}})
	var entries atomic.Int64
	down := false
	w.config.Store = w.storeWith(t, func(_ context.Context, key string) error {
		if !strings.Contains(key, "/digests/") {
			return nil
		}
		if down {
			return jobstest.ErrFault
		}
		entries.Add(1)
		return nil
	})
	a := w.auditor(t)
	for epoch, want := range map[uint64]int64{1: 1, 2: 0} {
		entries.Store(0)
		v, err := a.Audit(t.Context(), epoch)
		if err != nil || entries.Load() != want || v.Indexed != (want == 1) {
			t.Errorf("epoch %d: %d entries, verdict says %v, %v", epoch, entries.Load(), v.Indexed, err)
		}
		if v.Outcome != verdict.Verified {
			continue
		}
		if got, err := w.Store.EpochsOfDigest(t.Context(), jobstest.Namespace, v.Digest, 99); err != nil || !slices.Equal(got, []uint64{epoch}) {
			t.Errorf("digest of epoch %d: %d, %v", epoch, got, err)
		}
	}
	down = true
	if _, err := a.Audit(t.Context(), 3); !errors.Is(err, jobstest.ErrFault) {
		t.Errorf("without its entry: %v", err)
	}
	if _, err := w.Store.Verdict(t.Context(), jobstest.Namespace, 3); !errors.Is(err, auditstore.ErrNotFound) {
		t.Errorf("there is a verdict without its entry: %v", err)
	}
	down = false
	if v, err := a.Audit(t.Context(), 3); err != nil || !v.Indexed {
		t.Errorf("the next attempt: %v, %v", v.Indexed, err)
	}
}
