package schedule

import (
	"slices"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/jobs/begun"
	"github.com/ktaudit/ktaudit/jobs/queue"
)

func at(day, hour, minute int) time.Time {
	return time.Date(2026, 6, day, hour, minute, 0, 0, time.UTC)
}

// nightly is a log with a backfill each night at half past four, of which the last two epochs are
// not history.
func nightly(t *testing.T, r *queue.Redis, w *world, head uint64) *scheduledLog {
	jobstest.PublishNames(t, w.Log, jobstest.Span(1, 100)...)
	s := w.schedule()
	s.Backfills = []BackfillPlan{{Cron: "30 4 * * *", Window: 2}}
	return mustSchedule(t, r, s, head, 2)
}

// wantBegun checks which times are on record.
func (l *scheduledLog) wantBegun(t *testing.T, want ...time.Time) {
	t.Helper()
	got, err := begun.Of(l.backfiller.config.Store, jobstest.Namespace, l.backfiller.backfills[0].name()).Times(t.Context())
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("on record are %v, %v, want %v", got, err, want)
	}
}

func TestCron(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	r := queuetest.Miniredis(t)
	l := nightly(t, r, w, 5)
	l.mustBackfill(t, at(1, 4, 29))
	wantQueued(t, r, queue.Backfill)
	l.mustBackfill(t, at(1, 4, 30).In(time.FixedZone("elsewhere", -3600))) // times are in UTC
	wantQueued(t, r, queue.Backfill, 1, 2)
	finish(t, r, w.Config.Store, 1)

	// It goes on until it is through with what there was, over a restart too.
	l.progress.setPublished(9)
	l.mustBackfill(t, at(1, 5, 0))
	wantQueued(t, r, queue.Backfill, 2, 3)
	l = nightly(t, r, w, 5)
	finish(t, r, w.Config.Store, 2)
	l.mustBackfill(t, at(1, 6, 0))
	wantQueued(t, r, queue.Backfill, 3)
	finish(t, r, w.Config.Store, 3)
	l.mustBackfill(t, at(1, 7, 0))
	l.progress.setPublished(9)
	l.mustBackfill(t, at(1, 8, 0))
	wantQueued(t, r, queue.Backfill)

	l.mustBackfill(t, at(2, 4, 31))
	wantQueued(t, r, queue.Backfill, 4, 5)
}

// A time that comes while no scheduler is there is caught up on, once, also if several came.
func TestCronCatchesUp(t *testing.T) {
	t.Parallel()
	w, r := emptyWorld(t), queuetest.Miniredis(t)
	l := nightly(t, r, w, 5)
	l.mustBackfill(t, at(1, 12, 0)) // new: it waits for its time
	wantQueued(t, r, queue.Backfill)
	l.wantBegun(t, at(1, 4, 30))

	for range 2 {
		nightly(t, r, w, 5).mustBackfill(t, at(2, 4, 29)) // a restart before the time
		wantQueued(t, r, queue.Backfill)
	}
	l = nightly(t, r, w, 5)
	l.mustBackfill(t, at(4, 11, 0)) // one after it
	wantQueued(t, r, queue.Backfill, 1, 2)
	l.wantBegun(t, at(4, 4, 30))
	finish(t, r, w.Config.Store, 1, 2)
	jobstest.Verify(t, w.Config.Store, 3)
	l.mustBackfill(t, at(4, 12, 0))
	wantQueued(t, r, queue.Backfill)

	// What was begun and came to its end is not begun again.
	l = nightly(t, r, w, 9)
	l.mustBackfill(t, at(4, 13, 0))
	wantQueued(t, r, queue.Backfill)
	l.mustBackfill(t, at(5, 4, 30))
	wantQueued(t, r, queue.Backfill, 4, 5)
}

// A restart in the middle goes on to the end that was, even if Redis has lost everything.
func TestCronGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	w, r := emptyWorld(t), queuetest.Miniredis(t)
	nightly(t, r, w, 5).mustBackfill(t, at(1, 4, 29))
	nightly(t, r, w, 5).mustBackfill(t, at(1, 4, 30))
	finish(t, r, w.Config.Store, 1)

	r = queuetest.Miniredis(t)
	l := nightly(t, r, w, 1) // all it knows is the newest epoch with a verdict
	l.progress.complete.Store(false)
	l.mustBackfill(t, at(1, 9, 0))
	l.progress.setPublished(100)
	l.mustBackfill(t, at(1, 9, 1))
	wantQueued(t, r, queue.Backfill, 2, 3)
	finish(t, r, w.Config.Store, 2, 3)
	l.mustBackfill(t, at(1, 9, 2))
	wantQueued(t, r, queue.Backfill)

	// The next time is not begun before the end of history is known.
	l.mustBackfill(t, at(2, 4, 30))
	wantQueued(t, r, queue.Backfill)
	l.progress.setSearched()
	l.mustBackfill(t, at(2, 4, 31))
	wantQueued(t, r, queue.Backfill, 4, 5)
}

// Replicas begin once and work to the same end, whatever each knows of the log, and clocks may
// differ.
func TestCronOfReplicas(t *testing.T) {
	t.Parallel()
	w, r := emptyWorld(t), queuetest.Miniredis(t)
	one, other := nightly(t, r, w, 5), nightly(t, r, w, 5)
	one.mustBackfill(t, at(1, 4, 29))
	other.mustBackfill(t, at(1, 4, 28))
	one.mustBackfill(t, at(1, 4, 30)) // up to epoch 3
	other.progress.setPublished(20)
	other.mustBackfill(t, at(1, 4, 29))
	wantQueued(t, r, queue.Backfill, 1, 2)
	behind := nightly(t, r, w, 5) // starts in just this moment
	behind.mustBackfill(t, at(1, 4, 29))
	other.mustBackfill(t, at(1, 4, 30))
	behind.mustBackfill(t, at(1, 4, 30))
	finish(t, r, w.Config.Store, 1, 2)
	jobstest.Verify(t, w.Config.Store, 3)
	for _, l := range []*scheduledLog{one, other, behind} {
		l.mustBackfill(t, at(1, 4, 31))
		l.wantBegun(t, at(1, 4, 30))
		if b := l.backfiller.backfills[0]; b.state == running || b.until != 3 {
			t.Errorf("it runs: %v, to epoch %d", b.state == running, b.until)
		}
	}
	wantQueued(t, r, queue.Backfill)
}

// A clock that was years ahead leaves something on record, which keeps nothing from being begun.
func TestCronAfterAWrongClock(t *testing.T) {
	t.Parallel()
	w, r := emptyWorld(t), queuetest.Miniredis(t)
	l := nightly(t, r, w, 5)
	l.mustBackfill(t, at(1, 4, 29))
	l.mustBackfill(t, at(1, 4, 29).AddDate(60, 0, 0))
	finish(t, r, w.Config.Store, 1, 2)
	jobstest.Verify(t, w.Config.Store, 3)
	for _, l := range []*scheduledLog{l, nightly(t, r, w, 9)} {
		l.progress.setPublished(9)
		l.mustBackfill(t, at(2, 4, 31))
		wantQueued(t, r, queue.Backfill, 4, 5)
	}
}

func TestRecordThatCannotBeRead(t *testing.T) {
	t.Parallel()
	w, r := emptyWorld(t), queuetest.Miniredis(t)
	l := nightly(t, r, w, 5)
	if _, err := begun.Of(l.backfiller.config.Store, jobstest.Namespace, l.backfiller.backfills[0].name()).Put(t.Context(), at(1, 4, 30), []byte("{")); err != nil {
		t.Fatal(err)
	}
	if err := l.backfiller.round(t.Context(), at(1, 5, 0)); err == nil {
		t.Error("no error")
	}
	l.mustBackfill(t, at(2, 5, 0)) // the next time is another
	wantQueued(t, r, queue.Backfill, 1, 2)
}

// Begun by a scheduler that died right after: there is nothing on the queue, but a time on record.
func TestCronBegunByTheDead(t *testing.T) {
	t.Parallel()
	w, r := emptyWorld(t), queuetest.Miniredis(t)
	l := nightly(t, r, w, 5)
	l.mustBackfill(t, at(1, 4, 29))
	record := begun.Of(auditstore.New(w.Audit), jobstest.Namespace, l.backfiller.backfills[0].name())
	if _, err := record.Put(t.Context(), at(1, 4, 30), []byte(`{"until": 2}`)); err != nil {
		t.Fatal(err)
	}
	l.mustBackfill(t, at(1, 4, 31))
	wantQueued(t, r, queue.Backfill, 1, 2)
	finish(t, r, w.Config.Store, 1, 2)
	l.mustBackfill(t, at(1, 4, 32))
	wantQueued(t, r, queue.Backfill)
}
