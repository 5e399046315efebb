package verdictcheck_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/jobs/verdictcheck"
	"github.com/ktaudit/ktaudit/verdict"
)

// requests counts what is asked of a store, by the beginning of the request.
type requests map[string]*atomic.Int64

func counted(t *testing.T, s *jobstest.ArchiveStore, what ...string) (*auditstore.Store, requests) {
	t.Helper()
	counts := requests{}
	for _, begin := range what {
		counts[begin] = new(atomic.Int64)
	}
	_, watched := s.Watched(t, func(_ int64, request string) (error, bool) {
		for begin, n := range counts {
			if strings.HasPrefix(request, begin) {
				n.Add(1)
			}
		}
		return nil, false
	})
	return watched.Store, counts
}

// The index of an older version's verdicts costs two requests an epoch, and a few for each shard;
// after a crash it goes on with the shard in which that was; and then it costs one for ever.
func TestCompleteIndex(t *testing.T) {
	t.Parallel()
	s := jobstest.NewArchiveStore(t)
	jobstest.Record(t, s.Store, 500, 1200, func(v *verdict.Verdict) bool {
		if v.Epoch == 700 {
			jobstest.Reject(v)
		}
		return v.Epoch != 800
	})
	jobstest.Record(t, s.Store, 5000, 5002, nil)
	read, write := "read "+jobstest.Namespace+"/verdicts/", "write "+jobstest.Namespace+"/digests/"
	store, n := counted(t, s, read, write, "write "+jobstest.Namespace+"/indexed/")
	if err := verdictcheck.CompleteIndex(t.Context(), store, jobstest.Namespace); err != nil {
		t.Fatal(err)
	}
	if r, w := n[read].Load(), n[write].Load(); r != 703 || w != 702 {
		t.Errorf("%d verdicts were read and %d entries written, want 703 and 702", r, w)
	}
	for epoch, want := range map[uint64][]uint64{499: nil, 500: {500}, 700: nil, 800: nil, 1200: {1200}, 5001: {5001}} {
		got, err := s.Store.EpochsOfDigest(t.Context(), jobstest.Namespace, jobstest.DigestOf("", epoch), 9999)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("digest of epoch %d: epochs %d, %v, want %d", epoch, got, err, want)
		}
	}
	store, n = counted(t, s, "")
	if err := verdictcheck.CompleteIndex(t.Context(), store, jobstest.Namespace); err != nil || n[""].Load() != 1 {
		t.Errorf("again: %d requests, %v, want 1", n[""].Load(), err)
	}
}

// Whoever finds that somebody else goes through the shards leaves the rest to them.
func TestCompleteIndexOnce(t *testing.T) {
	t.Parallel()
	s := jobstest.NewArchiveStore(t)
	jobstest.Record(t, s.Store, 1, 3, nil)
	jobstest.Record(t, s.Store, 1000, 1003, nil)
	_, watched := s.Watched(t, func(_ int64, request string) (error, bool) {
		if strings.Contains(request, "write ") && strings.Contains(request, "/indexed/") {
			_, err := s.Store.PutIndexed(t.Context(), jobstest.Namespace, 1)
			return err, false
		}
		return nil, false
	})
	if err := verdictcheck.CompleteIndex(t.Context(), watched.Store, jobstest.Namespace); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Store.IndexedShards(t.Context(), jobstest.Namespace); err != nil || n != 1 {
		t.Errorf("%d shards are indexed, %v, want 1", n, err)
	}
}

// What a damaged verdict says is not known, and keeps nothing else from being entered.
func TestCompleteIndexPassesOverDamage(t *testing.T) {
	t.Parallel()
	s := jobstest.NewArchiveStore(t)
	jobstest.Record(t, s.Store, 1, 3, nil)
	jobstest.Edit(t, s.Bucket, jobstest.Namespace+"/verdicts/000000000/000000000002.json", "verified", "verifie")
	if err := verdictcheck.CompleteIndex(t.Context(), s.Store, jobstest.Namespace); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Store.IndexedShards(t.Context(), jobstest.Namespace); err != nil || n != auditstore.AllShards {
		t.Errorf("%d shards are indexed, %v", n, err)
	}
}

// Before the index is whole, what it lacks is looked for in seals and verdicts; afterwards an epoch
// costs one listing, and the verdict that it finds.
func TestFindingCosts(t *testing.T) {
	t.Parallel()
	s := jobstest.NewArchiveStore(t)
	jobstest.Record(t, s.Store, 1, 2500, func(v *verdict.Verdict) bool {
		if v.Epoch == 2200 {
			v.PreviousDigest = jobstest.DigestOf("", 1700)
		}
		return v.Epoch != 2199
	})
	find := func(store *auditstore.Store) {
		t.Helper()
		found, _, err := report.FindRollbacks(t.Context(), store, jobstest.Namespace, map[uint64]string{2200: jobstest.DigestOf("", 1700)})
		if err != nil || found[2200].Epoch != 1700 {
			t.Errorf("found epoch %d, %v, want 1700", found[2200].Epoch, err)
		}
	}
	find(s.Store)
	if err := verdictcheck.CompleteIndex(t.Context(), s.Store, jobstest.Namespace); err != nil {
		t.Fatal(err)
	}
	digests, reads := "list "+jobstest.Namespace+"/digests/", "read "+jobstest.Namespace+"/verdicts/"
	store, n := counted(t, s, digests, reads)
	find(store)
	// the epoch gone back to, and the one after it, which shows that something came between
	if l, r := n[digests].Load(), n[reads].Load(); l != 1 || r != 2 {
		t.Errorf("%d listings and %d verdicts, want 1 and 2", l, r)
	}
}
