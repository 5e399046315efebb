package jobs

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"

	"github.com/ktaudit/ktaudit/internal/simlog"
	"gocloud.dev/blob"
)

func TestGapsAreASet(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var g gaps
	set := map[uint64]bool{}
	for range 400 {
		epoch := 1 + random.Uint64N(300)
		g.add(epoch)
		set[epoch] = true
		for i, r := range g {
			if r.To < r.From || i > 0 && r.From <= g[i-1].To+1 {
				t.Fatalf("after %d: %v", epoch, g)
			}
		}
	}
	for epoch := range uint64(302) {
		if g.has(epoch) != set[epoch] {
			t.Errorf("has %d: %v", epoch, !set[epoch])
		}
	}
	seen := map[uint64]bool{}
	for range 1000 {
		some := g.some(5)
		if len(some) == 0 || len(some) > 5 || !slices.IsSorted(some) {
			t.Fatalf("some are %d", some)
		}
		for _, epoch := range some {
			seen[epoch] = true
			if !set[epoch] {
				t.Fatalf("%d is in no gap", epoch)
			}
		}
	}
	if len(seen) != len(set) {
		t.Errorf("of %d epochs %d come by chance", len(set), len(seen))
	}
	if all := g.some(len(set)); len(all) != len(set) {
		t.Errorf("all are %d, want %d", len(all), len(set))
	}
	if some := gaps(nil).some(3); some != nil {
		t.Errorf("of nothing there are %d", some)
	}
}

// work judges what is on the queue and published, as workers would, and returns how much was on it.
func (w *world) work(t *testing.T, r *Redis) int {
	t.Helper()
	epochs := queued(t, r, Backfill)
	for _, epoch := range epochs {
		if _, err := w.config.Fetcher.Locate(t.Context(), epoch); err == nil {
			finish(t, r, w.config.Store, epoch)
		}
	}
	return len(epochs)
}

// What the log never published does not keep history from being brought to its end, and costs little.
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
			w, r := emptyWorld(t), embedded(t)
			var there []uint64
			for _, epoch := range span(1, head) {
				if !missing(epoch) {
					there = append(there, epoch)
				}
			}
			publishNames(t, w.log, there...)
			source := watch(w.log)
			s := w.schedule()
			s.Fetcher = source.fetcher(t)
			s.Backfills = []BackfillPlan{{Window: window}}
			l := mustSchedule(t, r, s, head, recent)
			now, most := time.Now(), int64(0)
			history := len(within(there, 1, head-recent))
			for rounds := 0; w.judged(t, 1, head) < history; rounds++ {
				if rounds == 100 {
					t.Fatalf("only %d of %d epochs are judged", w.judged(t, 1, head), history)
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
			if most > 2*(maxLooks+2*historyLooks) { // a round that begins with an empty queue looks twice
				t.Errorf("%d requests in a round", most)
			}
			for range 50 { // what is left to look for and to tell of
				l.mustBackfill(t, now)
				now = now.Add(time.Minute)
			}
			wantQueued(t, r, Backfill)
			if n := len(notices(t, w.config.Store)); n == 0 || n > historyLooks {
				t.Errorf("%d alerts", n)
			}
			// From now on it costs next to nothing.
			audit := watch(w.audit)
			bucket := blob.NewBucket(audit)
			defer bucket.Close()
			l.Store = auditstore.New(bucket)
			source.requests.Store(0)
			l.mustBackfill(t, now)
			if n := source.requests.Load(); n > historyLooks {
				t.Errorf("%d requests to the log for nothing", n)
			}
			if n := audit.requests.Load(); n > 1 {
				t.Errorf("%d listings for nothing", n)
			}
		})
	}
}

// With workers that find nothing, and two schedulers that have to find the log's head behind it, a gap of three windows is passed.
func TestGapWithWorkers(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		tampers := map[uint64]simlog.Kind{}
		for epoch := uint64(31); epoch <= 330; epoch++ {
			tampers[epoch] = simlog.Missing
		}
		w := newWorld(t, simlog.Options{Epochs: 700, FirstLoad: 5, Insertions: 2, Tamper: tampers})
		s := w.schedule()
		s.Poll = 500 * time.Millisecond
		s.Backfills = []BackfillPlan{{Window: 100}}
		for range 2 {
			scheduler, err := NewScheduler(r, []Schedule{s}, w.config.Log)
			if err != nil {
				t.Fatal(err)
			}
			scheduler.logs[0].recent = 10
			background(t, scheduler.Run)
		}
		startWorker(t, r, w.auditor(t), WorkerConfig{NotYetDelay: 100 * time.Millisecond})
		eventually(t, "all verdicts", func() bool { return w.judged(t, 1, 700) == 400 })
		eventually(t, "an empty queue", func() bool { return queuedOn(t, r, Backfill) == 0 })
		eventually(t, "an alert", func() bool { return len(notices(t, w.config.Store)) > 0 })
		wantNotices(t, w.config.Store, "1-skipped.000000000031")
	})
}

// A gap that is filled after all is audited, whichever of its epochs comes first, and the alert on it ends.
func TestGapThatIsFilled(t *testing.T) {
	t.Parallel()
	w, r := emptyWorld(t), embedded(t)
	publishNames(t, w.log, slices.Concat(span(1, 999), span(2200, 2600))...)
	verify(t, w.config.Store, slices.Concat(span(1, 999), span(2200, 2300))...)
	l := mustSchedule(t, r, w.schedule(), 2600, 100)
	b := l.history[0]
	now := time.Now()
	rounds := func(n int) {
		for range n {
			l.mustBackfill(t, now)
			w.work(t, r)
			now = now.Add(time.Minute)
		}
	}
	rounds(50)
	if w.judged(t, 1, 2600) != 999+301 || len(b.gaps) != 1 || b.gaps[0] != (Range{1000, 2199}) {
		t.Fatalf("%d are judged, gaps are %v", w.judged(t, 1, 2600), b.gaps)
	}
	wantNotices(t, w.config.Store, "1-skipped.000000001000")
	if b.low != 2 {
		t.Errorf("lowest open shard is %d, want 2", b.low)
	}

	publishNames(t, w.log, span(1000, 2100)...)
	rounds(50)
	if w.judged(t, 1, 2600) != 2401 || len(b.gaps) != 1 || b.gaps[0] != (Range{2101, 2199}) {
		t.Errorf("%d are judged, gaps are %v", w.judged(t, 1, 2600), b.gaps)
	}
	wantQueued(t, r, Backfill)
	f := newFollower(l)
	f.mustRound(t, now)
	if got := notices(t, w.config.Store); !slices.Contains(got, "3-skipped.000000001000") {
		t.Errorf("not resolved: %q", got)
	}

	// What is new is looked at, also if it makes a shard complete at once.
	publishNames(t, w.log, span(2101, 2199)...)
	verify(t, w.config.Store, span(2102, 2199)...)
	judge(t, w.config.Store, 2101, verdict.Verified, "", 7, 2101)
	rounds(5)
	if got := notices(t, w.config.Store); !slices.Contains(got, "1-contradiction.000000002101.chain") {
		t.Errorf("a contradiction goes unnoticed: %q", got)
	}
}

// A log that seems to be empty, as a folder that is not mounted does, is caught up with when it is back.
func TestLogThatIsGoneForAWhile(t *testing.T) {
	t.Parallel()
	w, r := emptyWorld(t), embedded(t)
	s := w.schedule()
	s.Backfills = []BackfillPlan{{Window: 100}}
	l := mustSchedule(t, r, s, 600, 100)
	now := time.Now()
	for range 4 {
		l.mustBackfill(t, now)
		now = now.Add(time.Minute)
	}
	publishNames(t, w.log, span(1, 600)...)
	for range 20 {
		l.mustBackfill(t, now)
		w.work(t, r)
		now = now.Add(time.Minute)
	}
	if n := w.judged(t, 1, 500); n != 500 {
		t.Errorf("%d epochs are judged, want all", n)
	}
}

func TestCronWithAGap(t *testing.T) {
	t.Parallel()
	w, r := emptyWorld(t), embedded(t)
	publishNames(t, w.log, 1, 2, 5, 6, 7, 8)
	s := w.schedule()
	s.Backfills = []BackfillPlan{{Cron: "30 4 * * *", Window: 1}}
	l := mustSchedule(t, r, s, 8, 2)
	l.mustBackfill(t, at(1, 4, 29))
	for minute := range 20 {
		l.mustBackfill(t, at(1, 4, 30+minute))
		w.work(t, r)
	}
	if w.judged(t, 1, 6) != 4 || l.history[0].running {
		t.Errorf("%d are judged, it runs: %v", w.judged(t, 1, 6), l.history[0].running)
	}
	wantNotices(t, w.config.Store, "1-skipped.000000000003")
	publishNames(t, w.log, 3)
	l.mustBackfill(t, at(1, 12, 0)) // it is not its time
	wantQueued(t, r, Backfill)
	l.mustBackfill(t, at(2, 4, 30))
	wantQueued(t, r, Backfill, 3)
}

// Epochs that the log has not published are taken off both queues, unless a worker asks for them just now.
func TestGapsAreTakenOffTheQueues(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		w := emptyWorld(t)
		publishNames(t, w.log, 1, 2, 6, 7, 8)
		for class, epoch := range map[Class]uint64{Fresh: 3, Backfill: 4} {
			e := Enqueuer{Redis: r, Namespace: testNamespace, Class: class}
			if _, err := e.Enqueue(t.Context(), epoch, epoch, nil); err != nil {
				t.Fatal(err)
			}
		}
		// Epoch 4 is a worker's.
		name, id := Queue(testNamespace, Backfill), Task{testNamespace, 4}.ID()
		do(t, r, "LREM", queueKey(name, "pending"), 0, id)
		do(t, r, "RPUSH", queueKey(name, "active"), id)
		do(t, r, "ZADD", queueKey(name, "lease"), time.Now().Add(20*time.Second).Unix(), id)
		do(t, r, "HSET", queueKey(name, "t:"+id), "state", "active")
		l := mustSchedule(t, r, w.schedule(), 8, 2)
		l.mustBackfill(t, time.Now())
		wantQueued(t, r, Fresh)
		wantQueued(t, r, Backfill, 1, 2, 4, 6)
		do(t, r, "LREM", queueKey(name, "active"), 0, id)
		do(t, r, "ZREM", queueKey(name, "lease"), id)
		do(t, r, "ZADD", queueKey(name, "retry"), time.Now().Add(time.Minute).Unix(), id)
		do(t, r, "HSET", queueKey(name, "t:"+id), "state", "retry")
		l.mustBackfill(t, time.Now())
		wantQueued(t, r, Backfill, 1, 2, 6)
	})
}

// A log that cannot be asked is no gap.
func TestLogThatFailsIsNoGap(t *testing.T) {
	t.Parallel()
	w, r := emptyWorld(t), embedded(t)
	source := watch(w.log)
	s := w.schedule()
	s.Fetcher = source.fetcher(t)
	source.down.Store(true)
	l := mustSchedule(t, r, s, 8, 2)
	if err := l.backfillRound(t.Context(), time.Now()); err == nil || !strings.Contains(err.Error(), "the network is down") {
		t.Errorf("error is %v", err)
	}
	wantQueued(t, r, Backfill, 1, 2, 3, 4, 5, 6)
}
