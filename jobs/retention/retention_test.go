package retention

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/audittest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/rs/zerolog"
)

// TestRetention has one case an epoch, each with verified neighbours.
func TestRetention(t *testing.T) {
	t.Parallel()
	plant := func(t *testing.T, s *jobstest.ArchiveStore, epoch uint64, verdict string) {
		s.Archive(t, epoch, "", jobstest.BatchOf(epoch))
		key := fmt.Sprintf("%s/verdicts/%09d/%012d.json", jobstest.Namespace, epoch/1000, epoch)
		jobstest.Must(t, s.Bucket.WriteAll(t.Context(), key, []byte(verdict), nil))
	}
	cases := []struct {
		name   string
		lay    func(t *testing.T, s *jobstest.ArchiveStore, epoch uint64)
		before bool // whether the batch before it goes
		goes   bool
		after  bool
	}{
		{"verified", func(t *testing.T, s *jobstest.ArchiveStore, e uint64) { s.Verified(t, e) }, true, true, true},
		{"rejected", func(t *testing.T, s *jobstest.ArchiveStore, e uint64) {
			s.Archive(t, e, "", jobstest.BatchOf(e))
			s.Judge(t, jobstest.RejectedVerdict(e))
		}, false, false, false},
		{"evidence", func(t *testing.T, s *jobstest.ArchiveStore, e uint64) {
			s.Verified(t, e)
			jobstest.Must(t, s.Store.PutEvidence(t.Context(), jobstest.Namespace, e, "contradiction-1.json", []byte("{}")))
		}, true, false, true},
		{"no verdict", func(t *testing.T, s *jobstest.ArchiveStore, e uint64) { s.Archive(t, e, "", jobstest.BatchOf(e)) }, false, false, false},
		{"neither batch nor verdict", func(*testing.T, *jobstest.ArchiveStore, uint64) {}, false, true, false},
		{"unreadable verdict", func(t *testing.T, s *jobstest.ArchiveStore, e uint64) { plant(t, s, e, "{") }, false, false, false},
		{"verdict of a later version", func(t *testing.T, s *jobstest.ArchiveStore, e uint64) { plant(t, s, e, `{"schema":2}`) }, false, false, false},
		{"begins elsewhere", func(t *testing.T, s *jobstest.ArchiveStore, e uint64) {
			v := jobstest.GoodVerdict(e)
			v.PreviousDigest = jobstest.DigestAfter(77)
			s.Archive(t, e, "", jobstest.BatchOf(e))
			s.Judge(t, v)
		}, false, false, true},
		{"ends elsewhere", func(t *testing.T, s *jobstest.ArchiveStore, e uint64) {
			v := jobstest.GoodVerdict(e)
			v.Digest = jobstest.DigestAfter(77)
			s.Archive(t, e, "", jobstest.BatchOf(e))
			s.Judge(t, v)
		}, true, false, false},
		{"not the batch that was judged", func(t *testing.T, s *jobstest.ArchiveStore, e uint64) {
			s.Archive(t, e, "", jobstest.BatchOf(e)+".")
			s.Judge(t, jobstest.GoodVerdict(e))
		}, true, false, true},
		{"by a worker whose clock is ahead", func(t *testing.T, s *jobstest.ArchiveStore, e uint64) {
			v := jobstest.GoodVerdict(e)
			v.FinishedAt = v.FinishedAt.Add(365 * day)
			s.Archive(t, e, "", jobstest.BatchOf(e))
			s.Judge(t, v)
		}, true, false, true},
	}
	synctest.Test(t, func(t *testing.T) {
		s := jobstest.NewArchiveStore(t)
		// 999 is the last one of its shard
		epochOf := func(i int) uint64 { return 979 + uint64(i)*10 }
		want := []string{}
		for i, c := range cases {
			e := epochOf(i)
			s.Verified(t, e-2, e-1)
			c.lay(t, s, e)
			s.Verified(t, e+1, e+2)
			// The outer ones lack a neighbour of their own.
			for epoch, goes := range map[uint64]bool{e - 2: false, e - 1: c.before, e: c.goes, e + 1: c.after, e + 2: false} {
				if !goes {
					want = append(want, fmt.Sprint(epoch))
				}
			}
		}
		s.Archive(t, 979, ".zst", "published with another compression later")
		want = append(want, "979.zst")
		for _, key := range []string{"000000000/000000000979.bak", "README", "000000000/000000000979.zst/x"} {
			jobstest.Must(t, s.Bucket.WriteAll(t.Context(), jobstest.Namespace+"/archive/"+key, []byte("a stranger's"), nil))
		}
		kept, r := s.Kept(t), retentionOf(s, zerolog.Nop())

		all := s.Archived(t)
		time.Sleep(30*day - time.Minute)
		s.Verified(t, 5) // while the others have one minute to go
		mustPass(t, r)
		if got := s.Archived(t); len(got) != len(all)+1 {
			t.Errorf("a minute too early: %v of %v are left", len(got), len(all)+1)
		}
		time.Sleep(time.Minute)
		mustPass(t, r)
		want = append(want, "5", "979.bak", "979.zst/x", "README")
		got := s.Archived(t)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			for i, c := range cases {
				t.Logf("epoch %d: %s", epochOf(i), c.name)
			}
			t.Errorf("left are\n%v, want\n%v", got, want)
		}
		delete(kept, jobstest.Namespace+"/verdicts/000000000/000000000005.json")
		now := s.Kept(t)
		delete(now, jobstest.Namespace+"/verdicts/000000000/000000000005.json")
		if !maps.Equal(now, kept) {
			t.Error("something else than archived batches changed")
		}
	})
}

// What is at an end of a log has a neighbour on one side only.
func TestRetentionAtTheEndsOfALog(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		first, last uint64
		want        []string
	}{
		{1, 0, []string{"4"}}, // a new epoch may come that does not fit
		{1, 9, []string{"4"}}, // not all is published
		{1, 4, []string{}},    // a closed log
		{1, 3, []string{}},    // of which less is audited than was
		{2, 4, []string{}},
		{9, 0, []string{"4"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := jobstest.NewArchiveStore(t)
			s.Verified(t, 1, 2, 3, 4)
			r := retentionOf(s, zerolog.Nop())
			r.First, r.Last = c.first, c.last
			time.Sleep(31 * day)
			mustPass(t, r)
			if got := s.Archived(t); !slices.Equal(got, c.want) {
				t.Errorf("from %d to %d: left are %v, want %v", c.first, c.last, got, c.want)
			}
			s.Judge(t, jobstest.GoodVerdict(5))
			time.Sleep(recheckAfter)
			mustPass(t, r)
			if got := s.Archived(t); len(got) != 0 {
				t.Errorf("from %d to %d: after the next epoch is verified, left are %v", c.first, c.last, got)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		s := jobstest.NewArchiveStore(t)
		s.Archive(t, 1, "", jobstest.BatchOf(1))
		s.Judge(t, jobstest.RejectedVerdict(1))
		r := retentionOf(s, zerolog.Nop())
		r.Last = 1
		time.Sleep(31 * day)
		mustPass(t, r)
		if got := s.Archived(t); len(got) != 1 {
			t.Error("the only epoch of a log was rejected, and its batch is gone")
		}
	})
}

// A batch that was archived late by the store's clock is young, whatever its verdict says.
func TestRetentionGoesByTheStoresClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := jobstest.NewArchiveStore(t)
		s.Verified(t, 1, 2, 4, 5)
		v := jobstest.GoodVerdict(3) // by a worker whose clock is behind by 20 days
		time.Sleep(20 * day)
		s.Archive(t, 3, "", jobstest.BatchOf(3))
		s.Judge(t, v)
		r := retentionOf(s, zerolog.Nop())
		for _, want := range [][]string{{"1", "2", "3", "4", "5"}, {"3", "5"}, {"3", "5"}, {"5"}} {
			mustPass(t, r)
			if got := s.Archived(t); !slices.Equal(got, want) {
				t.Errorf("left are %v, want %v", got, want)
			}
			time.Sleep(10*day + time.Second)
		}
	})
}

// What auditors archive, with every compression, has the size that its verdict names.
func TestRetentionOfWhatAuditorsArchive(t *testing.T) {
	t.Parallel()
	w := audittest.New(t, simlog.Options{Epochs: 14, Compression: simlog.Mixed, Tamper: map[uint64]simlog.Kind{5: simlog.Malformed}})
	synctest.Test(t, func(t *testing.T) {
		s := jobstest.NewArchiveStore(t)
		w.Config.Store, w.Config.Archive = s.Store, true
		a := w.Auditor(t)
		for epoch := uint64(1); epoch <= 14; epoch++ {
			if _, err := a.Audit(t.Context(), epoch); err != nil {
				t.Fatal(err)
			}
		}
		kept, r := s.Kept(t), retentionOf(s, zerolog.Nop())
		time.Sleep(31 * day)
		mustPass(t, r)
		var left []string
		for _, name := range s.Archived(t) {
			left = append(left, strings.Split(name, ".")[0])
		}
		if !slices.Equal(left, []string{"4", "5", "6", "14"}) {
			t.Errorf("left are %v, want the rejected one, those around it, and the newest", left)
		}
		if !maps.Equal(s.Kept(t), kept) {
			t.Error("something else than archived batches changed")
		}
		for epoch := uint64(1); epoch <= 14; epoch++ { // nothing is judged or archived again
			if _, err := a.Audit(t.Context(), epoch); err != nil {
				t.Error(err)
			}
			if _, err := a.Reaudit(t.Context(), epoch); err != nil {
				t.Error(err)
			}
		}
		if n := len(s.Archived(t)); n != 4 {
			t.Errorf("then there are %d", n)
		}
	})
}

// On a real S3 server, with two at once. Its clock is that of its files.
func TestRetentionOnS3(t *testing.T) {
	t.Parallel()
	server := testservers.S3(t)
	url := server.BucketURL("audit")
	store, err := auditstore.Open(t.Context(), url)
	jobstest.Must(t, err)
	t.Cleanup(func() { _ = store.Close() })
	bucket, err := blobstore.OpenBucket(t.Context(), url)
	jobstest.Must(t, err)
	t.Cleanup(func() { _ = bucket.Close() })
	s := &jobstest.ArchiveStore{Bucket: bucket, Store: store}
	now := time.Now()
	for epoch := uint64(995); epoch <= 1010; epoch++ {
		v := jobstest.GoodVerdict(epoch)
		v.FinishedAt = now.Add(-40 * day).UTC()
		s.Archive(t, epoch, ".zst", jobstest.BatchOf(epoch))
		s.Judge(t, v)
		old := now.Add(-31 * day)
		if epoch >= 1005 {
			old = now.Add(-29 * day)
		}
		file := fmt.Sprintf("%s/archive/%09d/%012d.zst", jobstest.Namespace, epoch/1000, epoch)
		jobstest.Must(t, os.Chtimes(filepath.Join(server.BucketDir("audit"), file), old, old))
	}
	jobstest.Must(t, s.Store.PutEvidence(t.Context(), jobstest.Namespace, 1000, "e.json", []byte("{}")))
	kept := s.Kept(t)
	for range 2 {
		var both sync.WaitGroup
		for range 2 {
			r := retentionOf(s, zerolog.Nop())
			both.Go(func() { mustPass(t, r) })
		}
		both.Wait()
		want := []string{"995.zst", "1000.zst", "1005.zst", "1006.zst", "1007.zst", "1008.zst", "1009.zst", "1010.zst"}
		if got := s.Archived(t); !slices.Equal(got, want) {
			t.Errorf("left are %v, want %v", got, want)
		}
	}
	if !maps.Equal(s.Kept(t), kept) {
		t.Error("something else than archived batches changed")
	}
}
