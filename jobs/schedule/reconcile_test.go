package schedule

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

func TestNewVerdictsAreLookedAt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		judge func(t *testing.T, s *auditstore.Store)
		want  []string
	}{
		{"all good", func(t *testing.T, s *auditstore.Store) {}, nil},
		{"rejected by a worker that crashed before its alert", func(t *testing.T, s *auditstore.Store) {
			jobstest.Judge(t, s, 3, verdict.Rejected, "overlapping_labels", 2, 3)
		}, []string{"1-rejected.000000000003"}},
		{"equivocation", func(t *testing.T, s *auditstore.Store) {
			jobstest.Judge(t, s, 3, verdict.Rejected, verdict.Equivocation, 2, 30)
		}, []string{"1-equivocation.000000000003"}},
		{"a break", func(t *testing.T, s *auditstore.Store) {
			jobstest.Judge(t, s, 3, verdict.Verified, "", 20, 3)
		}, []string{"1-contradiction.000000000003.chain"}},
		{"out of order, on both sides", func(t *testing.T, s *auditstore.Store) {
			jobstest.Verify(t, s, 4, 2)
			jobstest.Judge(t, s, 3, verdict.Verified, "", 20, 30)
		}, []string{"1-contradiction.000000000003.chain", "1-contradiction.000000000004.chain"}},
		{"an island behind a rejection", func(t *testing.T, s *auditstore.Store) {
			jobstest.Judge(t, s, 3, verdict.Rejected, "previous_digest_mismatch", 20, 30)
			jobstest.Verify(t, s, 4)
		}, []string{"1-contradiction.000000000004.chain", "1-rejected.000000000003"}},
		{"no telling of what continues a rejected epoch", func(t *testing.T, s *auditstore.Store) {
			jobstest.Judge(t, s, 3, verdict.Rejected, "previous_digest_mismatch", 20, 3)
			jobstest.Verify(t, s, 4)
		}, []string{"1-rejected.000000000003"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := emptyWorld(t)
			jobstest.PublishNames(t, w.Log, jobstest.Span(1, 4)...)
			jobstest.Verify(t, w.Config.Store, 1)
			f := mustFollow(t, queuetest.Miniredis(t), w.schedule())
			f.mustRound(t, time.Now())
			if c.name != "out of order, on both sides" {
				jobstest.Verify(t, w.Config.Store, 2)
			}
			c.judge(t, w.Config.Store)
			for range 2 {
				f.mustRound(t, time.Now())
			}
			jobstest.WantNotices(t, w.Config.Store, c.want...)
			// after a restart
			mustFollow(t, queuetest.Miniredis(t), w.schedule()).mustRound(t, time.Now())
			jobstest.WantNotices(t, w.Config.Store, c.want...)
		})
	}
}

// A verdict that cannot be read keeps none but itself from being looked at. It is read again in
// each round, and the others are not.
func TestNewVerdictsBesideOneThatCannotBeRead(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	jobstest.PublishNames(t, w.Log, jobstest.Span(1, 9)...)
	jobstest.Verify(t, w.Config.Store, jobstest.Span(1, 8)...)
	jobstest.Judge(t, w.Config.Store, 9, verdict.Verified, "", 90, 9)
	jobstest.Edit(t, w.Audit, fmt.Sprintf("%s/verdicts/000000000/%012d.json", jobstest.Namespace, 2), `}`, ``)
	recent := mustFollow(t, queuetest.Miniredis(t), w.schedule())
	history := mustSchedule(t, queuetest.Miniredis(t), w.schedule(), 10, 1)
	for name, round := range map[string]func() error{
		"recent":  func() error { return recent.round(t.Context(), time.Now()) },
		"history": func() error { return history.backfiller.round(t.Context(), time.Now()) },
	} {
		for range 2 {
			if err := round(); !errors.Is(err, auditstore.ErrCorrupt) {
				t.Errorf("%s: error is %v, want one that tells of the verdict", name, err)
			}
		}
	}
	jobstest.WantNotices(t, w.Config.Store, "1-contradiction.000000000009.chain")
	for name, checked := range map[string]*epochset.Set{"recent": &recent.checked, "history": history.backfiller.backfills[0].checked[0]} {
		if got := slices.Sorted(checked.All()); !slices.Equal(got, []uint64{1, 3, 4, 5, 6, 7, 8, 9}) {
			t.Errorf("%s: looked at are %d", name, got)
		}
	}
}

// The chain is held together across the border of two shards, also when the lower one is history.
func TestBreakBetweenShards(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	jobstest.PublishNames(t, w.Log, jobstest.Span(998, 1001)...)
	s := w.schedule()
	s.First = 998
	jobstest.Verify(t, w.Config.Store, 998, 999, 1001)
	jobstest.Judge(t, w.Config.Store, 1000, verdict.Verified, "", 5, 1000)
	f := mustFollow(t, queuetest.Miniredis(t), s)
	f.progress.recent = 2
	f.mustRound(t, time.Now())
	mustFollow(t, queuetest.Miniredis(t), s).mustRound(t, time.Now()) // another finds the same
	jobstest.WantNotices(t, w.Config.Store, "1-contradiction.000000001000.chain")

	pieces := w.Evidence(t, 1000)
	if len(pieces) != 1 {
		t.Fatalf("evidence is %q, want one piece", pieces)
	}
	var got incident.BrokenChain
	if err := json.Unmarshal([]byte(pieces[0]), &got); err != nil {
		t.Fatal(err)
	}
	hex := func(n uint64) string { return fmt.Sprintf("%064x", n) }
	want := incident.BrokenChain{Reason: verdict.BrokenChain, Epochs: [2]incident.BrokenVerdict{
		{Epoch: 999, PreviousDigest: hex(998), Digest: hex(999), BatchKey: "999/batch", BatchSHA256: hex(0)}, {Epoch: 1000, PreviousDigest: hex(5), Digest: hex(1000), BatchKey: "1000/batch", BatchSHA256: hex(0)},
	}}
	if got != want {
		t.Errorf("evidence is %+v, want %+v", got, want)
	}
}

// What the queue has given up, or lost in part, is put there again.
func TestFollowRevivesWhatTheQueueLost(t *testing.T) {
	t.Parallel()
	queuetest.OnEachRedis(t, func(t *testing.T, r *queue.Redis) {
		w := emptyWorld(t)
		jobstest.PublishNames(t, w.Log, jobstest.Span(1, 4)...)
		f := mustFollow(t, r, w.schedule())
		f.mustRound(t, time.Now())
		fresh := queue.Name(jobstest.Namespace, queue.Fresh)
		if err := r.Inspector().ArchiveTask(fresh, queue.Task{Namespace: jobstest.Namespace, Epoch: 2}.ID()); err != nil {
			t.Fatal(err)
		}
		// blocked for ever
		queuetest.Do(t, r, "LREM", queue.Key(fresh, "pending"), 0, queue.Task{Namespace: jobstest.Namespace, Epoch: 3}.ID())
		queuetest.Do(t, r, "HSET", queue.Key(fresh, "t:"+queue.Task{Namespace: jobstest.Namespace, Epoch: 3}.ID()), "pending_since", 1)
		f.mustRound(t, time.Now())
		counts, err := queuetest.Counts(r, queue.Fresh)
		if err != nil || counts.Pending != 4 {
			t.Errorf("the queue is %+v, %v", counts, err)
		}
	})
}
