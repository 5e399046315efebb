package seal

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/jobs/verdictcheck"
	"github.com/ktaudit/ktaudit/verdict"
)

// Wherever sealing is broken off, the next attempt brings it to its end, and what is to be told is
// told once.
func TestSealingFaults(t *testing.T) {
	t.Parallel()
	change := func(v *verdict.Verdict) bool {
		switch v.Epoch {
		case 400:
			jobstest.Reject(v)
		case 1000:
			v.PreviousDigest = jobstest.DigestOf("other", 999)
		}
		return true
	}
	told := []string{"1-contradiction.000000001000.chain", "1-rejected.000000000400"}
	fresh := func(t *testing.T) *jobstest.ArchiveStore {
		bucket := jobstest.OpenMemory(t)
		s := &jobstest.ArchiveStore{Bucket: bucket, Store: auditstore.New(bucket)}
		jobstest.Record(t, s.Store, 1, 1999, change)
		return s
	}
	want := readStatus(t, fresh(t).Store, 0, 0)
	for _, about := range []string{
		"list " + jobstest.Namespace + "/history/", "list " + jobstest.Namespace + "/verdicts/", "list " + jobstest.Namespace + "/verdicts/000000001/",
		"read " + jobstest.Namespace + "/verdicts/000000000/000000000007.json", "read " + jobstest.Namespace + "/verdicts/000000001/000000001999.json",
		"read " + jobstest.Namespace + "/alerts/closed/1-rejected.000000000400.json", "write " + jobstest.Namespace + "/alerts/open/1-rejected.000000000400.json",
		"write " + jobstest.Namespace + "/seals/000000000.json", "write " + jobstest.Namespace + "/seals/000000001.json",
		"read " + jobstest.Namespace + "/verdicts/000000000/000000000999.json",
		"write " + jobstest.Namespace + "/evidence/000000001/000000001000/", "write " + jobstest.Namespace + "/alerts/open/1-contradiction.000000001000.chain-",
		"write " + jobstest.Namespace + "/history/999999999998.json",
	} {
		for _, carriedOut := range []bool{false, true} {
			if carriedOut && !strings.HasPrefix(about, "write ") {
				continue // nothing is left of a list or read that failed
			}
			t.Run(fmt.Sprint(about, carriedOut), func(t *testing.T) {
				t.Parallel()
				s := fresh(t)
				var failed atomic.Bool
				_, faulty := s.Watched(t, func(_ int64, request string) (error, bool) {
					if !strings.HasPrefix(request, about) || failed.Swap(true) {
						return nil, false
					}
					return jobstest.ErrFault, carriedOut
				})
				_, err := sealer(faulty.Store).Seal(t.Context(), 1, 1999)
				if !failed.Load() || err == nil {
					t.Fatalf("no fault in %s: %v", about, err)
				}
				if status := readStatus(t, s.Store, 0, 0); !sameButSealed(want, status) {
					t.Errorf("status after the fault: %s", cmp.Diff(want, status))
				}
				sealAll(t, sealer(s.Store))
				status := readStatus(t, s.Store, 0, 0)
				if !sameButSealed(want, status) || status.SealedCount != 1999 {
					t.Errorf("status after the next attempt: %s", cmp.Diff(want, status))
				}
				if got := jobstest.Incidents(t, s.Store); !slices.Equal(got, told) {
					t.Errorf("told of %q, want %q", got, told)
				}
			})
		}
	}
}

func sameButSealed(a, b report.Status) bool {
	a.Incidents, b.Incidents = nil, nil // sealing raises what nobody told of before
	a.HeldBackBy, b.HeldBackBy = "", ""
	b.SealedCount = a.SealedCount
	return cmp.Equal(a, b)
}

// A status costs as many requests after two million epochs as after twenty thousand.
func TestStatusRequests(t *testing.T) {
	t.Parallel()
	requests := func(shards, stretches uint64) int64 {
		bucket := jobstest.OpenMemory(t)
		s := &jobstest.ArchiveStore{Bucket: bucket, Store: auditstore.New(bucket)}
		_, to := verdict.ShardRange(shards - 1)
		span := verdict.SealedSpan{Span: verdict.Span{From: 1, To: to, PreviousDigest: jobstest.DigestOf("", 0), Digest: jobstest.DigestOf("", to)}}
		for shard := range shards {
			span.Seals = append(span.Seals, jobstest.DigestOf("seal", shard))
		}
		// Stretches behind rejected epochs, the last of which goes back to the end of the first.
		for n := uint64(1); n <= stretches; n++ {
			epoch := n * 2000
			span.Rejected = append(span.Rejected, verdict.Rejection{Epoch: epoch, Reason: "digest_mismatch"})
			jobstest.Record(t, s.Store, epoch-1, epoch+1, func(v *verdict.Verdict) bool {
				if v.Epoch == epoch {
					jobstest.Reject(v)
				}
				if n == stretches && v.Epoch == epoch+1 {
					v.PreviousDigest = jobstest.DigestOf("", 1999)
				}
				return true
			})
		}
		if stretches > 0 {
			jobstest.Must(t, verdictcheck.CompleteIndex(t.Context(), s.Store, jobstest.Namespace))
		}
		h := verdict.History{Namespace: jobstest.Namespace, Spans: []verdict.SealedSpan{span}}
		if _, err := s.Store.PutHistory(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		jobstest.Record(t, s.Store, to+1, to+5, nil)
		watch, watched := s.Watched(t, jobstest.NoFault)
		status := readStatus(t, watched.Store, 0, 0)
		if stretches == 0 && (status.Head != to+5 || !status.Good()) || status.SealedCount != to || len(status.Stretches) != int(stretches)+1 {
			t.Errorf("status %+v", status)
		}
		if stretches > 0 && (len(status.Rollbacks) != 1 || status.Rollbacks[0].To != 1999 || status.Head != 1999) {
			t.Errorf("status %+v", status)
		}
		return watch.Requests.Load()
	}
	few, many := requests(20, 0), requests(2000, 0)
	// the history, the open shard, its verdicts, no chain, no incidents, no alerts and no overrulings
	if want := int64(2 + 2 + 5 + 1 + 4 + 1); few != want || many != want {
		t.Errorf("%d requests for 20 sealed shards, %d for 2,000, want %d", few, many, want)
	}
	// Each further stretch costs the verdict on its first epoch, that on the rejected one before it,
	// once for its detail and once for its digest, and a listing of the index. How far the index is
	// costs one more, and the epoch that is gone back to another.
	few, many = requests(20, 5), requests(2000, 5)
	if want := int64(2 + 2 + 5 + 1 + 4 + 1 + 5*(1+1+1+1) + 1 + 1); few != want || many != want {
		t.Errorf("with stretches: %d requests for 20 sealed shards, %d for 2,000, want %d", few, many, want)
	}
}
