package schedule

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/frontier"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/worker"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
	"gocloud.dev/blob"
)

// work judges what is on the queue and published, as workers would, and returns how much was on it.
func (w *world) work(t *testing.T, r *queue.Redis) int {
	t.Helper()
	epochs := queued(t, r, queue.Backfill)
	for _, epoch := range epochs {
		if _, err := w.Config.Fetcher.Locate(t.Context(), epoch); err == nil {
			finish(t, r, w.Config.Store, epoch)
		}
	}
	return len(epochs)
}

// What the log never published does not keep history from being brought to its end, and costs
// little.
func TestHistoryGoesOnBehindAGap(t *testing.T) {
	t.Parallel()
	const window, head, recent = 100, 1000, 50
	for name, missing := range map[string]func(epoch uint64) bool{
		"in one piece":   func(epoch uint64) bool { return epoch > 300 && epoch <= 300+3*window },
		"every other":    func(epoch uint64) bool { return epoch > 200 && epoch <= 800 && epoch%2 == 0 },
		"the beginning":  func(epoch uint64) bool { return epoch <= 3*window },
		"the end":        func(epoch uint64) bool { return epoch > 600 && epoch <= 960 },
		"here and there": func(epoch uint64) bool { return epoch%50 == 0 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, r := emptyWorld(t), queuetest.Miniredis(t)
			var there []uint64
			for _, epoch := range jobstest.Span(1, head) {
				if !missing(epoch) {
					there = append(there, epoch)
				}
			}
			jobstest.PublishNames(t, w.Log, there...)
			source := watch(w.Log)
			s := w.schedule()
			s.Fetcher = source.fetcher(t)
			s.Backfills = []BackfillPlan{{Window: window}}
			l := mustSchedule(t, r, s, head, recent)
			now, most := time.Now(), int64(0)
			history := len(epochset.Within(there, 1, head-recent))
			for rounds := 0; w.Judged(t, 1, head) < history; rounds++ {
				if rounds == 100 {
					t.Fatalf("only %d of %d epochs are judged", w.Judged(t, 1, head), history)
				}
				if rounds == 6 {
					l = mustSchedule(t, r, s, head, recent) // a restart
				}
				source.requests.Store(0)
				l.mustBackfill(t, now)
				most = max(most, source.requests.Load())
				if n := w.work(t, r); n > window {
					t.Errorf("%d epochs were on the queue, the window is %d", n, window)
				}
				now = now.Add(time.Minute)
			}
			if most > 2*(frontier.MaxLocated+3*exploredAtOnce) { // a round that begins with an empty queue looks twice
				t.Errorf("%d requests in a round", most)
			}
			for range 50 { // what is left to look for and to tell of
				l.mustBackfill(t, now)
				now = now.Add(time.Minute)
			}
			wantQueued(t, r, queue.Backfill)
			if n := len(jobstest.Notices(t, w.Config.Store)); n == 0 || n > exploredAtOnce {
				t.Errorf("%d alerts", n)
			}
			// From now on it costs next to nothing.
			audit := watch(w.Audit)
			bucket := blob.NewBucket(audit)
			defer bucket.Close()
			store := auditstore.New(bucket)
			l.backfiller.config.Store, l.backfiller.verdicts.Store = store, store
			source.requests.Store(0)
			l.mustBackfill(t, now)
			if n := source.requests.Load(); n > 2*exploredAtOnce {
				t.Errorf("%d requests to the log for nothing", n)
			}
			if n := audit.requests.Load(); n > 1 {
				t.Errorf("%d listings for nothing", n)
			}
		})
	}
}

// With workers that find nothing, and two schedulers that have to find the log's head behind it, a
// gap of three windows is passed.
func TestGapWithWorkers(t *testing.T) {
	t.Parallel()
	queuetest.OnEachRedis(t, func(t *testing.T, r *queue.Redis) {
		tampers := map[uint64]simlog.Kind{}
		for epoch := uint64(31); epoch <= 330; epoch++ {
			tampers[epoch] = simlog.Missing
		}
		w := newWorld(t, simlog.Options{Epochs: 700, FirstLoad: 5, Insertions: 2, Tamper: tampers})
		s := w.schedule()
		s.Poll = 500 * time.Millisecond
		s.Backfills = []BackfillPlan{{Window: 100}}
		for range 2 {
			scheduler, err := New(r, []Config{s}, w.Config.Log)
			if err != nil {
				t.Fatal(err)
			}
			scheduler.logs[0].progress.recent = 10
			jobstest.Background(t, scheduler.Run)
		}
		startWorker(t, r, w.Auditor(t), worker.Config{NotYetDelay: 100 * time.Millisecond})
		jobstest.Eventually(t, "all verdicts", func() bool { return w.Judged(t, 1, 700) == 400 })
		jobstest.Eventually(t, "an empty queue", func() bool { return queuedOn(t, r, queue.Backfill) == 0 })
		jobstest.Eventually(t, "an alert", func() bool { return len(jobstest.Notices(t, w.Config.Store)) > 0 })
		jobstest.WantNotices(t, w.Config.Store, "1-skipped.000000000031")
	})
}

// A gap that is filled after all is audited, whichever of its epochs comes first, and the alert on
// it ends.
func TestGapThatIsFilled(t *testing.T) {
	t.Parallel()
	w, r := emptyWorld(t), queuetest.Miniredis(t)
	jobstest.PublishNames(t, w.Log, slices.Concat(jobstest.Span(1, 999), jobstest.Span(2200, 2600))...)
	jobstest.Verify(t, w.Config.Store, slices.Concat(jobstest.Span(1, 999), jobstest.Span(2200, 2300))...)
	l := mustSchedule(t, r, w.schedule(), 2600, 100)
	b := l.backfiller.backfills[0]
	now := time.Now()
	rounds := func(n int) {
		for range n {
			l.mustBackfill(t, now)
			w.work(t, r)
			now = now.Add(time.Minute)
		}
	}
	rounds(30)
	if w.Judged(t, 1, 2600) != 999+301 || len(b.gaps) != 1 || b.gaps[0] != (epochset.Range{From: 1000, To: 2199}) {
		t.Fatalf("%d are judged, gaps are %v", w.Judged(t, 1, 2600), b.gaps)
	}
	jobstest.WantNotices(t, w.Config.Store, "1-skipped.000000001000")
	if b.firstOpen != 2 {
		t.Errorf("lowest open shard is %d, want 2", b.firstOpen)
	}

	jobstest.PublishNames(t, w.Log, jobstest.Span(1000, 2100)...)
	rounds(30)
	if w.Judged(t, 1, 2600) != 2401 || len(b.gaps) != 1 || b.gaps[0] != (epochset.Range{From: 2101, To: 2199}) {
		t.Errorf("%d are judged, gaps are %v", w.Judged(t, 1, 2600), b.gaps)
	}
	wantQueued(t, r, queue.Backfill)
	f := l.newFollower()
	f.mustRound(t, now)
	if got := jobstest.Notices(t, w.Config.Store); !slices.Contains(got, "3-skipped.000000001000") {
		t.Errorf("not resolved: %q", got)
	}

	// What is new is looked at, also if it makes a shard complete at once.
	jobstest.PublishNames(t, w.Log, jobstest.Span(2101, 2199)...)
	jobstest.Verify(t, w.Config.Store, jobstest.Span(2102, 2199)...)
	jobstest.Judge(t, w.Config.Store, 2101, verdict.Verified, "", 7, 2101)
	rounds(5)
	if got := jobstest.Incidents(t, w.Config.Store); !slices.Contains(got, "1-contradiction.000000002101.chain") {
		t.Errorf("a contradiction goes unnoticed: %q", got)
	}
}

// A log that seems to be empty, as a folder that is not mounted does, is caught up with when it is
// back.
func TestLogThatIsGoneForAWhile(t *testing.T) {
	t.Parallel()
	w, r := emptyWorld(t), queuetest.Miniredis(t)
	s := w.schedule()
	s.Backfills = []BackfillPlan{{Window: 100}}
	l := mustSchedule(t, r, s, 600, 100)
	now := time.Now()
	for range 4 {
		l.mustBackfill(t, now)
		now = now.Add(time.Minute)
	}
	jobstest.PublishNames(t, w.Log, jobstest.Span(1, 600)...)
	for range 20 {
		l.mustBackfill(t, now)
		w.work(t, r)
		now = now.Add(time.Minute)
	}
	if n := w.Judged(t, 1, 500); n != 500 {
		t.Errorf("%d epochs are judged, want all", n)
	}
}

func TestCronWithAGap(t *testing.T) {
	t.Parallel()
	w, r := emptyWorld(t), queuetest.Miniredis(t)
	jobstest.PublishNames(t, w.Log, 1, 2, 5, 6, 7, 8)
	s := w.schedule()
	s.Backfills = []BackfillPlan{{Cron: "30 4 * * *", Window: 1}}
	l := mustSchedule(t, r, s, 8, 2)
	l.mustBackfill(t, at(1, 4, 29))
	for minute := range 20 {
		l.mustBackfill(t, at(1, 4, 30+minute))
		w.work(t, r)
	}
	if w.Judged(t, 1, 6) != 4 || l.backfiller.backfills[0].state == running {
		t.Errorf("%d are judged, it runs: %v", w.Judged(t, 1, 6), l.backfiller.backfills[0].state == running)
	}
	jobstest.WantNotices(t, w.Config.Store, "1-skipped.000000000003")
	jobstest.PublishNames(t, w.Log, 3)
	l.mustBackfill(t, at(1, 12, 0)) // it is not its time
	wantQueued(t, r, queue.Backfill)
	l.mustBackfill(t, at(2, 4, 30))
	wantQueued(t, r, queue.Backfill, 3)
}

// Epochs that the log has not published are taken off both queues, unless a worker asks for them
// just now.
func TestGapsAreTakenOffTheQueues(t *testing.T) {
	t.Parallel()
	queuetest.OnEachRedis(t, func(t *testing.T, r *queue.Redis) {
		w := emptyWorld(t)
		jobstest.PublishNames(t, w.Log, 1, 2, 6, 7, 8)
		for class, epoch := range map[queue.Class]uint64{queue.Fresh: 3, queue.Backfill: 4} {
			e := queue.Enqueuer{Redis: r, Namespace: jobstest.Namespace, Class: class}
			if _, err := e.Enqueue(t.Context(), epoch, epoch, nil); err != nil {
				t.Fatal(err)
			}
		}
		// Epoch 4 is a worker's.
		name, id := queue.Name(jobstest.Namespace, queue.Backfill), queue.Task{Namespace: jobstest.Namespace, Epoch: 4}.ID()
		queuetest.Do(t, r, "LREM", queue.Key(name, "pending"), 0, id)
		queuetest.Do(t, r, "RPUSH", queue.Key(name, "active"), id)
		queuetest.Do(t, r, "ZADD", queue.Key(name, "lease"), time.Now().Add(20*time.Second).Unix(), id)
		queuetest.Do(t, r, "HSET", queue.Key(name, "t:"+id), "state", "active")
		l := mustSchedule(t, r, w.schedule(), 8, 2)
		l.mustBackfill(t, time.Now())
		wantQueued(t, r, queue.Fresh)
		wantQueued(t, r, queue.Backfill, 1, 2, 4, 6)
		queuetest.Do(t, r, "LREM", queue.Key(name, "active"), 0, id)
		queuetest.Do(t, r, "ZREM", queue.Key(name, "lease"), id)
		queuetest.Do(t, r, "ZADD", queue.Key(name, "retry"), time.Now().Add(time.Minute).Unix(), id)
		queuetest.Do(t, r, "HSET", queue.Key(name, "t:"+id), "state", "retry")
		l.mustBackfill(t, time.Now())
		wantQueued(t, r, queue.Backfill, 1, 2, 6)
	})
}

// A log that cannot be asked is no gap.
func TestLogThatFailsIsNoGap(t *testing.T) {
	t.Parallel()
	w, r := emptyWorld(t), queuetest.Miniredis(t)
	source := watch(w.Log)
	s := w.schedule()
	s.Fetcher = source.fetcher(t)
	source.down.Store(true)
	l := mustSchedule(t, r, s, 8, 2)
	if err := l.backfiller.round(t.Context(), time.Now()); err == nil || !strings.Contains(err.Error(), "the network is down") {
		t.Errorf("error is %v", err)
	}
	wantQueued(t, r, queue.Backfill, 1, 2, 3, 4, 5, 6)
}
