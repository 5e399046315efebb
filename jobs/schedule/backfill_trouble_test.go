package schedule

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/worker"
	"github.com/rs/zerolog"
	"gocloud.dev/blob"
)

// While workers work, a backfill with a small window goes on without waiting for the next period.
func TestBackfillGoesOnAsVerdictsArrive(t *testing.T) {
	t.Parallel()
	queuetest.OnEachRedis(t, func(t *testing.T, r *queue.Redis) {
		w := newWorld(t, simlog.Options{Epochs: 300, FirstLoad: 5, Insertions: 2})
		s := w.schedule()
		s.Poll = time.Hour
		s.Backfills = []BackfillPlan{{Window: 40}}
		l := mustSchedule(t, r, s, 300, 10)
		done := make(chan struct{})
		go func() { defer close(done); l.backfiller.run(t.Context()) }()
		t.Cleanup(func() { <-done })
		startWorker(t, r, w.Auditor(t), worker.Config{})
		most := 0
		jobstest.Eventually(t, "290 verdicts", func() bool {
			most = max(most, queuedOn(t, r, queue.Backfill))
			return w.Judged(t, 1, 290) == 290
		})
		if most > 40 {
			t.Errorf("%d epochs were on the queue, the window is 40", most)
		}
	})
}

// A verdict that cannot be read keeps its own shard open, and nothing else from being put on the
// queue: not even what the queue has lost in part, which takes several steps.
func TestBackfillGoesOnBesideAVerdictThatCannotBeRead(t *testing.T) {
	t.Parallel()
	queuetest.OnEachRedis(t, func(t *testing.T, r *queue.Redis) {
		w := emptyWorld(t)
		jobstest.PublishNames(t, w.Log, jobstest.Span(1, 40)...)
		l := mustSchedule(t, r, w.schedule(), 40, 10)
		l.mustBackfill(t, time.Now())
		finish(t, r, w.Config.Store, 1, 2)
		jobstest.Edit(t, w.Audit, fmt.Sprintf("%s/verdicts/000000000/%012d.json", jobstest.Namespace, 2), `}`, ``)
		backfill := queue.Name(jobstest.Namespace, queue.Backfill)
		for epoch := uint64(3); epoch <= 30; epoch++ {
			id := queue.Task{Namespace: jobstest.Namespace, Epoch: epoch}.ID()
			queuetest.Do(t, r, "LREM", queue.Key(backfill, "pending"), 0, id) // blocked for ever
			queuetest.Do(t, r, "HSET", queue.Key(backfill, "t:"+id), "pending_since", 1)
		}
		if err := l.backfiller.round(t.Context(), time.Now()); !errors.Is(err, auditstore.ErrCorrupt) {
			t.Errorf("error is %v, want one that tells of the verdict", err)
		}
		wantQueued(t, r, queue.Backfill, jobstest.Span(3, 30)...)
	})
}

// An epoch of history whose jobs keep failing is told of, though nothing else waits for it. The
// follower ends that.
func TestHistoryThatKeepsFailing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 6})
	r := queuetest.Miniredis(t)
	s := w.schedule()
	s.TransientAfter = time.Hour
	l := mustSchedule(t, r, s, 6, 2)
	now := time.Now()
	l.mustBackfill(t, now)

	w.failAll(t, r, jobstest.Span(1, 4)...)
	l.mustBackfill(t, now.Add(59*time.Minute))
	jobstest.WantNotices(t, w.Config.Store)
	for minutes := range 3 {
		l.mustBackfill(t, now.Add(time.Duration(61+minutes)*time.Minute))
	}
	jobstest.WantNotices(t, w.Config.Store, "2-transient.000000000001")
	if _, err := w.Auditor(t).Audit(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for hours := range 3 { // the others that fail are no news while it stands
		l.mustBackfill(t, now.Add(time.Duration(2+hours)*time.Hour))
	}
	jobstest.WantNotices(t, w.Config.Store, "2-transient.000000000001")
	l.newFollower().mustRound(t, now.Add(5*time.Hour))
	jobstest.WantNotices(t, w.Config.Store, "2-transient.000000000001", "3-transient.000000000001")
	l.mustBackfill(t, now.Add(6*time.Hour))
	jobstest.WantNotices(t, w.Config.Store, "2-transient.000000000001", "2-transient.000000000002", "3-transient.000000000001")
}

// An epoch of history that is never signed does not fail, and is told of as backlog. One that was
// not tried, or that the log has not published, is not.
func TestHistoryThatIsNeverSigned(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 8, Tamper: map[uint64]simlog.Kind{1: simlog.Missing}})
	jobstest.Must(t, w.Signatures.Delete(t.Context(), "2.json"))
	r := queuetest.Miniredis(t)
	s := w.schedule()
	s.BacklogAge = time.Hour
	l := mustSchedule(t, r, s, 8, 2)
	now := time.Now()
	for hours := range 3 { // no worker is there
		l.mustBackfill(t, now.Add(time.Duration(hours)*time.Hour))
	}
	isBacklog := func(i string) bool { return strings.Contains(i, "backlog") }
	if got := jobstest.Incidents(t, w.Config.Store); slices.ContainsFunc(got, isBacklog) {
		t.Errorf("before any was tried: %q", got)
	}
	stop := startWorker(t, r, w.Auditor(t), worker.Config{NotYetDelay: time.Millisecond})
	jobstest.Eventually(t, "verdicts on all but what is not signed", func() bool {
		_, why := l.backfiller.queue.LastAttempt(jobstest.Namespace, 2)
		epochs, err := w.Config.Store.Epochs(t.Context(), jobstest.Namespace, 0)
		return err == nil && why != nil && slices.Contains(epochs, 4) && slices.Contains(epochs, 6)
	})
	stop()
	for hours := range 3 {
		l.mustBackfill(t, now.Add(time.Duration(3+hours)*time.Hour))
	}
	got := slices.DeleteFunc(jobstest.Incidents(t, w.Config.Store), func(i string) bool { return !isBacklog(i) })
	if !slices.Equal(got, []string{"2-backlog.000000000002"}) {
		t.Errorf("told of %q, want the backlog of epoch 2", got)
	}
}

// A shard that cannot be listed keeps none but itself from being worked on.
func TestShardThatCannotBeListed(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	jobstest.PublishNames(t, w.Log, slices.Concat(jobstest.Span(990, 1010), jobstest.Span(1990, 2010), jobstest.Span(2990, 3010))...)
	audit := watch(w.Audit)
	bucket := blob.NewBucket(audit)
	defer bucket.Close()
	s := w.schedule()
	s.Store = auditstore.New(bucket)
	jobstest.Verify(t, w.Config.Store, slices.Concat(jobstest.Span(1, 998), jobstest.Span(1001, 1998), jobstest.Span(2001, 2998), jobstest.Span(3000, 3009))...)
	r := queuetest.Miniredis(t)
	l := mustSchedule(t, r, s, 3010, 1000)
	audit.hidden = jobstest.Namespace + "/verdicts/000000001/"
	if err := l.backfiller.round(t.Context(), time.Now()); err == nil || !strings.Contains(err.Error(), "verdicts/000000001") {
		t.Errorf("error is %v, want one that names the shard", err)
	}
	wantQueued(t, r, queue.Backfill, 999, 2000)

	audit.hidden = jobstest.Namespace + "/verdicts/000000002/"
	if err := l.newFollower().round(t.Context(), time.Now()); err == nil || !strings.Contains(err.Error(), "verdicts/000000002") {
		t.Errorf("error is %v, want one that names the shard", err)
	}
	wantQueued(t, r, queue.Fresh, 3010)
}

// That history cannot be worked on is told once it has lasted, also while the log's newest epochs
// can be.
func TestHistoryThatCannotBeWorkedOn(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	jobstest.PublishNames(t, w.Log, jobstest.Span(1, 20)...)
	jobstest.Verify(t, w.Config.Store, 1)
	key := fmt.Sprintf("%s/verdicts/000000000/%012d.json", jobstest.Namespace, 1)
	s := w.schedule()
	s.TransientAfter = time.Hour
	l := mustSchedule(t, queuetest.Miniredis(t), s, 20, 10)
	f := l.newFollower()
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	jobstest.Edit(t, w.Audit, key, `}`, `]`)
	for _, after := range []time.Duration{0, 59 * time.Minute} {
		if err := l.backfiller.round(t.Context(), now.Add(after)); !errors.Is(err, auditstore.ErrCorrupt) {
			t.Errorf("error is %v, want one that tells of the verdict", err)
		}
		f.mustRound(t, now.Add(after))
	}
	jobstest.WantNotices(t, w.Config.Store)
	for range 2 {
		f.mustRound(t, now.Add(time.Hour))
	}
	const incident = "transient.000000000021.scheduler-20260701"
	jobstest.WantNotices(t, w.Config.Store, "2-"+incident)

	// A scheduler that has just started, and has not come to history, does not take the trouble for
	// over.
	restarted, err := newScheduledLog(l.backfiller.queue, s, zerolog.Nop())
	jobstest.Must(t, err)
	restarted.progress.recent = l.progress.recent
	restarted.mustBackfill(t, now.Add(time.Hour)) // it knows of none
	restarted.newFollower().mustRound(t, now.Add(time.Hour))
	jobstest.WantNotices(t, w.Config.Store, "2-"+incident)

	jobstest.Edit(t, w.Audit, key, `]`, `}`)
	l.mustBackfill(t, now.Add(61*time.Minute))
	f.mustRound(t, now.Add(61*time.Minute))
	jobstest.WantNotices(t, w.Config.Store, "2-"+incident, "3-"+incident)
}
