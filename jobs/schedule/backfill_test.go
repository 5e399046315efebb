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
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
	"github.com/rs/zerolog"
	"gocloud.dev/blob"
)

// mustSchedule is a log with a head, all but the last recent epochs of which are history.
func mustSchedule(t testing.TB, r *queue.Redis, s Config, head, recent uint64) *scheduledLog {
	t.Helper()
	l := mustHave(t, r, s)
	l.progress.recent = recent
	l.progress.setPublished(head)
	l.progress.setSearched()
	return l
}

func (l *scheduledLog) mustBackfill(t testing.TB, now time.Time) {
	t.Helper()
	if err := l.backfiller.round(t.Context(), now); err != nil {
		t.Fatal(err)
	}
}

// queued returns the epochs on a queue, ascending.
func queued(t testing.TB, r *queue.Redis, c queue.Class) []uint64 {
	t.Helper()
	var set epochset.Set
	if err := queue.ReadQueued(t.Context(), r.Client, jobstest.Namespace, queue.Name(jobstest.Namespace, c), &set); err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(set.All())
}

func wantQueued(t testing.TB, r *queue.Redis, c queue.Class, want ...uint64) {
	t.Helper()
	if got := queued(t, r, c); !slices.Equal(got, want) {
		t.Errorf("on the %s queue are epochs %d, want %d", c, got, want)
	}
}

// finish has the queue forget epochs, as if a worker had judged them.
func finish(t testing.TB, r *queue.Redis, store *auditstore.Store, epochs ...uint64) {
	t.Helper()
	jobstest.Verify(t, store, epochs...)
	for _, epoch := range epochs {
		if err := r.Inspector().DeleteTask(queue.Name(jobstest.Namespace, queue.Backfill), (queue.Task{Namespace: jobstest.Namespace, Epoch: epoch}).ID()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBackfillKeepsItsWindow(t *testing.T) {
	t.Parallel()
	queuetest.OnEachRedis(t, func(t *testing.T, r *queue.Redis) {
		w := emptyWorld(t)
		jobstest.PublishNames(t, w.Log, jobstest.Span(1, 12)...)
		s := w.schedule()
		s.Backfills = []BackfillPlan{{From: 1, To: 12, Window: 5}}
		jobstest.Verify(t, w.config.Store, 2, 3)
		l := mustSchedule(t, r, s, 12, 2)
		now := time.Now()
		l.mustBackfill(t, now)
		l.mustBackfill(t, now)
		wantQueued(t, r, queue.Backfill, 1, 4, 5, 6, 7)

		finish(t, r, w.config.Store, 1, 5)
		l.mustBackfill(t, now)
		wantQueued(t, r, queue.Backfill, 4, 6, 7, 8, 9)
		finish(t, r, w.config.Store, 9)

		l = mustSchedule(t, r, s, 12, 2) // a restart
		l.mustBackfill(t, now)
		wantQueued(t, r, queue.Backfill, 4, 6, 7, 8, 10) // 11 and 12 are not history

		finish(t, r, w.config.Store, 4, 6, 7, 8, 10)
		l.mustBackfill(t, now)
		wantQueued(t, r, queue.Backfill)
	})
}

func TestHistoryThatNoBackfillCoversIsAudited(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	jobstest.PublishNames(t, w.Log, jobstest.Span(1, 12)...)
	r := queuetest.Embedded(t)
	s := w.schedule()
	s.First = 3
	s.Backfills = []BackfillPlan{{From: 5, To: 6, Cron: "@yearly", Window: 10}, {From: 9, To: 9, Cron: "@yearly", Window: 10}}
	l := mustSchedule(t, r, s, 12, 2)
	l.mustBackfill(t, time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC))
	wantQueued(t, r, queue.Backfill, 3, 4, 7, 8, 10)
}

func TestBackfillsShare(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	jobstest.PublishNames(t, w.Log, slices.Concat(jobstest.Span(1, 8), jobstest.Span(4001, 4008))...)
	r := queuetest.Embedded(t)
	s := w.schedule()
	s.Backfills = []BackfillPlan{{From: 1, To: 4000, Window: 1000}, {From: 4001, To: 8000, Window: 300}}
	l := mustSchedule(t, r, s, 9000, 1000)
	l.mustBackfill(t, time.Now())
	if n := len(queued(t, r, queue.Backfill)); n != 1300 {
		t.Errorf("%d epochs are queued, want 1,300", n)
	}
	ids, err := r.Client.LRange(t.Context(), queue.Key(queue.Name(jobstest.Namespace, queue.Backfill), "pending"), -600, -1).Result()
	if err != nil {
		t.Fatal(err)
	}
	second := 0
	for _, id := range ids {
		if epoch, _ := queue.EpochOfID(jobstest.Namespace, id); epoch > 4000 {
			second++
		}
	}
	if second < 250 || second > 300 { // they are enqueued side by side, so the borders of turns are blurred
		t.Errorf("of the 600 that come first, %d are the second's", second)
	}
}

func TestInTurn(t *testing.T) {
	t.Parallel()
	var got []uint64
	lists := [][]uint64{jobstest.Span(1, 250), jobstest.Span(1001, 1050), nil, jobstest.Span(2001, 2101)}
	if err := inTurn(lists, func(epoch uint64) error { got = append(got, epoch); return nil }); err != nil {
		t.Fatal(err)
	}
	want := slices.Concat(jobstest.Span(1, 100), jobstest.Span(1001, 1050), jobstest.Span(2001, 2100), jobstest.Span(101, 200), jobstest.Span(2101, 2101), jobstest.Span(201, 250))
	if !slices.Equal(got, want) {
		t.Errorf("order is %d", got)
	}
}

// New verdicts on history are looked at while their shard is open: a worker may have crashed before
// it told of a rejection.
func TestBackfillLooksAtNewVerdicts(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	l := mustSchedule(t, queuetest.Embedded(t), w.schedule(), 1500, 1000)
	jobstest.Verify(t, w.config.Store, 1)
	l.mustBackfill(t, time.Now())
	jobstest.WantNotices(t, w.config.Store)
	jobstest.Judge(t, w.config.Store, 2, verdict.Rejected, "digest_mismatch", 1, 2)
	jobstest.Judge(t, w.config.Store, 4, verdict.Verified, "", 3, 4)
	jobstest.Judge(t, w.config.Store, 5, verdict.Verified, "", 7, 5)
	for range 2 {
		l.mustBackfill(t, time.Now())
	}
	jobstest.WantNotices(t, w.config.Store, "1-contradiction.000000000005.chain", "1-rejected.000000000002")
}

func TestEpochsThatHistorySkipped(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	jobstest.PublishNames(t, w.Log, 1, 2, 4, 5, 6, 7, 8, 9, 10)
	one, other := mustSchedule(t, queuetest.Embedded(t), w.schedule(), 10, 2), mustSchedule(t, queuetest.Embedded(t), w.schedule(), 10, 2)
	now := time.Now()
	for range 3 {
		one.mustBackfill(t, now)
		other.mustBackfill(t, now)
	}
	jobstest.WantNotices(t, w.config.Store)
	for range 3 {
		now = now.Add(time.Minute)
		one.mustBackfill(t, now)
		other.mustBackfill(t, now)
	}
	jobstest.WantNotices(t, w.config.Store, "1-skipped.000000000003")
}

// A shard is listed until it is complete, and then never again.
func TestBackfillListsOpenShardsOnly(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	jobstest.PublishNames(t, w.Log, 1500)
	jobstest.PublishNames(t, w.Log, jobstest.Span(3000, 3010)...)
	r := queuetest.Embedded(t)
	for epoch := uint64(1); epoch <= 2999; epoch++ {
		if epoch != 1500 {
			jobstest.Verify(t, w.config.Store, epoch)
		}
	}
	l := mustSchedule(t, r, w.schedule(), 5000, 1000)
	l.mustBackfill(t, time.Now())
	b := l.backfiller.backfills[0]
	if _, complete := b.complete[2]; b.firstOpen != 1 || !complete || len(b.checked) != 3 {
		t.Errorf("lowest open shard is %d, complete are %v, open %v", b.firstOpen, b.complete, b.checked)
	}
	if epochs := queued(t, r, queue.Backfill); epochs[0] != 1500 || epochs[1] != 3000 || len(epochs) != 1002 {
		t.Errorf("queued are %d epochs", len(epochs))
	}
	// A restart lists every shard once, and what comes after it the open ones, 1, 3 and 4.
	audit := watch(w.Audit)
	bucket := blob.NewBucket(audit)
	defer bucket.Close()
	s := w.schedule()
	s.Store = auditstore.New(bucket)
	restarted := mustSchedule(t, r, s, 5000, 1000)
	for _, want := range []int64{5, 3, 3} {
		audit.requests.Store(0)
		if open, err := restarted.backfiller.unjudgedOf(t.Context(), restarted.backfiller.backfills[0], 4000); err != nil || len(open) != 1002 {
			t.Errorf("%d epochs are open, %v", len(open), err)
		}
		if n := audit.requests.Load(); n != want {
			t.Errorf("%d listings, want %d", n, want)
		}
	}
	// What completes it breaks the chain.
	jobstest.Judge(t, w.config.Store, 1500, verdict.Verified, "", 7, 1500)
	l.mustBackfill(t, time.Now())
	if b.firstOpen != 3 || len(b.complete) != 0 {
		t.Errorf("lowest open shard is %d, complete are %v", b.firstOpen, b.complete)
	}
	jobstest.WantNotices(t, w.config.Store, "1-contradiction.000000001500.chain")
}

func TestSchedulesThatCannotBe(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	for want, change := range map[string]func(s *Config){
		"namespace":                    func(s *Config) { s.Namespace = "../x" },
		"needs a fetcher":              func(s *Config) { s.Fetcher = nil },
		"first epoch":                  func(s *Config) { s.First = 0 },
		"period":                       func(s *Config) { s.Poll = 0 },
		"has no window":                func(s *Config) { s.Window = 0 },
		"from epoch 3 has no window":   func(s *Config) { s.Backfills = []BackfillPlan{{From: 3}} },
		"before the first":             func(s *Config) { s.First, s.Last = 5, 4 },
		"layout ends":                  func(s *Config) { s.Last = 1 << 60 },
		"ends before it begins":        func(s *Config) { s.First = 5; s.Backfills = []BackfillPlan{{To: 4, Window: 1}} },
		"expected exactly":             func(s *Config) { s.Backfills = []BackfillPlan{{Cron: "* * *", Window: 10_000}} },
		"time zones are not supported": func(s *Config) { s.Backfills = []BackfillPlan{{Cron: "TZ=Europe/Berlin", Window: 10_000}} },
		"never occurs":                 func(s *Config) { s.Backfills = []BackfillPlan{{Cron: "0 0 30 2 *", Window: 10_000}} },
	} {
		s := w.schedule()
		change(&s)
		if _, err := New(queuetest.Embedded(t), []Config{s}, w.config.Log); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want one with %q", err, want)
		}
	}
	if _, err := New(queuetest.Embedded(t), []Config{w.schedule(), w.schedule()}, w.config.Log); err == nil {
		t.Error("two schedules for one log are taken")
	}
	if _, err := New(queuetest.Embedded(t), nil, w.config.Log); err == nil {
		t.Error("no schedule is taken")
	}
}

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
		startWorker(t, r, w.auditor(t), worker.Config{})
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
		finish(t, r, w.config.Store, 1, 2)
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
	r := queuetest.Embedded(t)
	s := w.schedule()
	s.TransientAfter = time.Hour
	l := mustSchedule(t, r, s, 6, 2)
	now := time.Now()
	l.mustBackfill(t, now)

	w.failAll(t, l.backfiller.queue.redis, jobstest.Span(1, 4)...)
	l.mustBackfill(t, now.Add(59*time.Minute))
	jobstest.WantNotices(t, w.config.Store)
	for minutes := range 3 {
		l.mustBackfill(t, now.Add(time.Duration(61+minutes)*time.Minute))
	}
	jobstest.WantNotices(t, w.config.Store, "2-transient.000000000001")
	if _, err := w.auditor(t).Audit(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for hours := range 3 { // the others that fail are no news while it stands
		l.mustBackfill(t, now.Add(time.Duration(2+hours)*time.Hour))
	}
	jobstest.WantNotices(t, w.config.Store, "2-transient.000000000001")
	l.newFollower().mustRound(t, now.Add(5*time.Hour))
	jobstest.WantNotices(t, w.config.Store, "2-transient.000000000001", "3-transient.000000000001")
	l.mustBackfill(t, now.Add(6*time.Hour))
	jobstest.WantNotices(t, w.config.Store, "2-transient.000000000001", "2-transient.000000000002", "3-transient.000000000001")
}

// An epoch of history that is never signed does not fail, and is told of as backlog. One that was
// not tried, or that the log has not published, is not.
func TestHistoryThatIsNeverSigned(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 8, Tamper: map[uint64]simlog.Kind{1: simlog.Missing}})
	jobstest.Must(t, w.Signatures.Delete(t.Context(), "2.json"))
	r := queuetest.Embedded(t)
	s := w.schedule()
	s.BacklogAge = time.Hour
	l := mustSchedule(t, r, s, 8, 2)
	now := time.Now()
	for hours := range 3 { // no worker is there
		l.mustBackfill(t, now.Add(time.Duration(hours)*time.Hour))
	}
	isBacklog := func(i string) bool { return strings.Contains(i, "backlog") }
	if got := jobstest.Incidents(t, w.config.Store); slices.ContainsFunc(got, isBacklog) {
		t.Errorf("before any was tried: %q", got)
	}
	stop := startWorker(t, r, w.auditor(t), worker.Config{NotYetDelay: time.Millisecond})
	jobstest.Eventually(t, "verdicts on all but what is not signed", func() bool {
		_, why := l.backfiller.queue.redis.LastAttempt(jobstest.Namespace, 2)
		epochs, err := w.config.Store.Epochs(t.Context(), jobstest.Namespace, 0)
		return err == nil && why != nil && slices.Contains(epochs, 4) && slices.Contains(epochs, 6)
	})
	stop()
	for hours := range 3 {
		l.mustBackfill(t, now.Add(time.Duration(3+hours)*time.Hour))
	}
	got := slices.DeleteFunc(jobstest.Incidents(t, w.config.Store), func(i string) bool { return !isBacklog(i) })
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
	jobstest.Verify(t, w.config.Store, slices.Concat(jobstest.Span(1, 998), jobstest.Span(1001, 1998), jobstest.Span(2001, 2998), jobstest.Span(3000, 3009))...)
	r := queuetest.Embedded(t)
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
	jobstest.Verify(t, w.config.Store, 1)
	key := fmt.Sprintf("%s/verdicts/000000000/%012d.json", jobstest.Namespace, 1)
	s := w.schedule()
	s.TransientAfter = time.Hour
	l := mustSchedule(t, queuetest.Embedded(t), s, 20, 10)
	f := l.newFollower()
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	jobstest.Edit(t, w.Audit, key, `}`, `]`)
	for _, after := range []time.Duration{0, 59 * time.Minute} {
		if err := l.backfiller.round(t.Context(), now.Add(after)); !errors.Is(err, auditstore.ErrCorrupt) {
			t.Errorf("error is %v, want one that tells of the verdict", err)
		}
		f.mustRound(t, now.Add(after))
	}
	jobstest.WantNotices(t, w.config.Store)
	for range 2 {
		f.mustRound(t, now.Add(time.Hour))
	}
	const incident = "transient.000000000021.scheduler-20260701"
	jobstest.WantNotices(t, w.config.Store, "2-"+incident)

	// A scheduler that has just started, and has not come to history, does not take the trouble for
	// over.
	restarted, err := newScheduledLog(l.backfiller.queue.redis, s, zerolog.Nop())
	jobstest.Must(t, err)
	restarted.progress.recent = l.progress.recent
	restarted.mustBackfill(t, now.Add(time.Hour)) // it knows of none
	restarted.newFollower().mustRound(t, now.Add(time.Hour))
	jobstest.WantNotices(t, w.config.Store, "2-"+incident)

	jobstest.Edit(t, w.Audit, key, `]`, `}`)
	l.mustBackfill(t, now.Add(61*time.Minute))
	f.mustRound(t, now.Add(61*time.Minute))
	jobstest.WantNotices(t, w.config.Store, "2-"+incident, "3-"+incident)
}
