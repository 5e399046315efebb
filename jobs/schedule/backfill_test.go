package schedule

import (
	"slices"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
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
		jobstest.Verify(t, w.Config.Store, 2, 3)
		l := mustSchedule(t, r, s, 12, 2)
		now := time.Now()
		l.mustBackfill(t, now)
		l.mustBackfill(t, now)
		wantQueued(t, r, queue.Backfill, 1, 4, 5, 6, 7)

		finish(t, r, w.Config.Store, 1, 5)
		l.mustBackfill(t, now)
		wantQueued(t, r, queue.Backfill, 4, 6, 7, 8, 9)
		finish(t, r, w.Config.Store, 9)

		l = mustSchedule(t, r, s, 12, 2) // a restart
		l.mustBackfill(t, now)
		wantQueued(t, r, queue.Backfill, 4, 6, 7, 8, 10) // 11 and 12 are not history

		finish(t, r, w.Config.Store, 4, 6, 7, 8, 10)
		l.mustBackfill(t, now)
		wantQueued(t, r, queue.Backfill)
	})
}

func TestHistoryThatNoBackfillCoversIsAudited(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	jobstest.PublishNames(t, w.Log, jobstest.Span(1, 12)...)
	r := queuetest.Miniredis(t)
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
	r := queuetest.Miniredis(t)
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

// New verdicts on history are looked at while their shard is open: a worker may have crashed before
// it told of a rejection.
func TestBackfillLooksAtNewVerdicts(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	l := mustSchedule(t, queuetest.Miniredis(t), w.schedule(), 1500, 1000)
	jobstest.Verify(t, w.Config.Store, 1)
	l.mustBackfill(t, time.Now())
	jobstest.WantNotices(t, w.Config.Store)
	jobstest.Judge(t, w.Config.Store, 2, verdict.Rejected, "digest_mismatch", 1, 2)
	jobstest.Judge(t, w.Config.Store, 4, verdict.Verified, "", 3, 4)
	jobstest.Judge(t, w.Config.Store, 5, verdict.Verified, "", 7, 5)
	for range 2 {
		l.mustBackfill(t, time.Now())
	}
	jobstest.WantNotices(t, w.Config.Store, "1-contradiction.000000000005.chain", "1-rejected.000000000002")
}

func TestEpochsThatHistorySkipped(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	jobstest.PublishNames(t, w.Log, 1, 2, 4, 5, 6, 7, 8, 9, 10)
	one, other := mustSchedule(t, queuetest.Miniredis(t), w.schedule(), 10, 2), mustSchedule(t, queuetest.Miniredis(t), w.schedule(), 10, 2)
	now := time.Now()
	for range 3 {
		one.mustBackfill(t, now)
		other.mustBackfill(t, now)
	}
	jobstest.WantNotices(t, w.Config.Store)
	for range 3 {
		now = now.Add(time.Minute)
		one.mustBackfill(t, now)
		other.mustBackfill(t, now)
	}
	jobstest.WantNotices(t, w.Config.Store, "1-skipped.000000000003")
}

// A shard is listed until it is complete, and then never again.
func TestBackfillListsOpenShardsOnly(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	jobstest.PublishNames(t, w.Log, 1500)
	jobstest.PublishNames(t, w.Log, jobstest.Span(3000, 3010)...)
	r := queuetest.Miniredis(t)
	for epoch := uint64(1); epoch <= 2999; epoch++ {
		if epoch != 1500 {
			jobstest.Verify(t, w.Config.Store, epoch)
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
	// A restart lists every shard once, and what comes after it the open ones, 1, 3 and 4. The first
	// round also asks how far the index of digests is.
	audit := watch(w.Audit)
	bucket := blob.NewBucket(audit)
	defer bucket.Close()
	s := w.schedule()
	s.Store = auditstore.New(bucket)
	restarted := mustSchedule(t, r, s, 5000, 1000)
	for _, want := range []int64{6, 3, 3} {
		audit.requests.Store(0)
		if open, err := restarted.backfiller.unjudgedOf(t.Context(), restarted.backfiller.backfills[0], 4000); err != nil || len(open) != 1002 {
			t.Errorf("%d epochs are open, %v", len(open), err)
		}
		if n := audit.requests.Load(); n != want {
			t.Errorf("%d listings, want %d", n, want)
		}
	}
	// What completes it breaks the chain.
	jobstest.Judge(t, w.Config.Store, 1500, verdict.Verified, "", 7, 1500)
	l.mustBackfill(t, time.Now())
	if b.firstOpen != 3 || len(b.complete) != 0 {
		t.Errorf("lowest open shard is %d, complete are %v", b.firstOpen, b.complete)
	}
	jobstest.WantNotices(t, w.Config.Store, "1-contradiction.000000001500.chain", "1-contradiction.000000001500.chain") // a break and a rollback
}
