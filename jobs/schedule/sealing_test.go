package schedule

import (
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/internal/metrics"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
	"gocloud.dev/blob"
)

// A scheduler that starts lists only the shards that are not sealed.
func TestRestartPassesOverWhatIsSealed(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	jobstest.PublishNames(t, w.Log, 1500, 4500)
	jobstest.Verify(t, w.Config.Store, jobstest.Span(1, 1499)...)
	jobstest.Verify(t, w.Config.Store, jobstest.Span(1501, 4499)...)
	sealAll(t, sealer(w.Config.Store)) // shards 0, 2 and 3
	audit := watch(w.Audit)
	bucket := blob.NewBucket(audit)
	defer bucket.Close()
	s := w.schedule()
	s.Store = auditstore.New(bucket)
	s.Backfills = []BackfillPlan{{Window: 2}}
	r := queuetest.Miniredis(t)
	l := mustSchedule(t, r, s, 5500, 1000)
	b := l.backfiller.backfills[0]
	if err := l.backfiller.skipSealed(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, two := b.complete[2]; b.firstOpen != 1 || !two || len(b.complete) != 2 {
		t.Errorf("lowest open shard is %d, complete are %v", b.firstOpen, b.complete)
	}
	audit.requests.Store(0)
	open, err := l.backfiller.unjudgedOf(t.Context(), b, 4500)
	if err != nil || len(open) != 2 || open[0] != 1500 || open[1] != 4500 {
		t.Errorf("open are %d, %v", open, err)
	}
	if n := audit.requests.Load(); n != 3 { // two shards, and how far the index of digests is
		t.Errorf("%d listings, want 3", n)
	}
	audit.requests.Store(0)
	if err := l.backfiller.skipSealed(t.Context()); err != nil || audit.requests.Load() != 0 {
		t.Errorf("asked again: %d times, %v", audit.requests.Load(), err)
	}
}

// A history that cannot be read costs listings, and nothing else.
func TestHistoryThatCannotBeRead(t *testing.T) {
	t.Parallel()
	w, r := emptyWorld(t), queuetest.Miniredis(t)
	jobstest.PublishNames(t, w.Log, jobstest.Span(1, 8)...)
	if err := w.Audit.WriteAll(t.Context(), jobstest.Namespace+"/history/999999999998.json", []byte("{"), nil); err != nil {
		t.Fatal(err)
	}
	l := mustSchedule(t, r, w.schedule(), 8, 2)
	l.mustBackfill(t, time.Now())
	wantQueued(t, r, queue.Backfill, 1, 2, 3, 4, 5, 6)
}

func TestHeadIsWalkedTo(t *testing.T) {
	t.Parallel()
	reject := func(epochs ...uint64) func(t *testing.T, s *auditstore.Store) {
		return func(t *testing.T, s *auditstore.Store) {
			for _, epoch := range epochs {
				jobstest.Judge(t, s, epoch, verdict.Rejected, "overlapping_labels", epoch-1, epoch)
			}
		}
	}
	breaks := func(epoch uint64) func(t *testing.T, s *auditstore.Store) {
		return func(t *testing.T, s *auditstore.Store) {
			jobstest.Judge(t, s, epoch, verdict.Verified, "", 7777, epoch)
		}
	}
	for name, c := range map[string]struct {
		before func(t *testing.T, s *auditstore.Store) // the rest is verified, up to 2500
		first  uint64
		want   uint64
	}{
		"all good":                          {func(*testing.T, *auditstore.Store) {}, 1, 2500},
		"from the middle":                   {func(*testing.T, *auditstore.Store) {}, 1234, 2500},
		"rejected, sealed":                  {reject(1700, 1300), 1, 1299},
		"rejected before the first":         {reject(1700, 1300), 1301, 1699},
		"the first is rejected":             {reject(5), 5, 4},
		"rejected, open":                    {reject(2300), 1, 2299},
		"break in a shard":                  {breaks(1500), 1, 1499},
		"break at the first":                {breaks(1500), 1500, 2500},
		"break between shards":              {breaks(1000), 1, 999},
		"break between sealed and open":     {breaks(2000), 1, 1999},
		"break between two open ones":       {breaks(2200), 1, 2199},
		"the first of a shard is rejected":  {reject(1000), 1, 999},
		"the last of a shard is rejected":   {reject(1999), 1, 1998},
		"a break after one that is no good": {func(t *testing.T, s *auditstore.Store) { reject(1200)(t, s); breaks(1100)(t, s) }, 1, 1099},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := emptyWorld(t)
			c.before(t, w.Config.Store)
			verify := func(from, to uint64) {
				for _, epoch := range jobstest.Span(from, to) {
					v := verdict.Verdict{} // unless it has one
					if v, _ = w.Config.Store.Verdict(t.Context(), jobstest.Namespace, epoch); v.Epoch == 0 {
						jobstest.Judge(t, w.Config.Store, epoch, verdict.Verified, "", epoch-1, epoch)
					}
				}
			}
			walk := report.HeadWalk{Next: c.first}
			advance := func(want uint64) {
				t.Helper()
				h, err := w.Config.Store.History(t.Context(), jobstest.Namespace)
				if err == nil {
					err = walk.Advance(t.Context(), w.Config.Store, h)
				}
				if got := walk.Next - 1; err != nil || got != want {
					t.Errorf("head is %d, %v, want %d", got, err, want)
				}
			}
			begun := c.first - 1
			if name == "break at the first" { // which has its verdict
				begun++
			}
			advance(begun)
			verify(1, 1400)
			advance(max(begun, min(1400, c.want)))
			sealAll(t, sealer(w.Config.Store))
			verify(1401, 2500)
			sealAll(t, sealer(w.Config.Store))
			for range 2 {
				advance(c.want)
			}
			walk = report.HeadWalk{Next: c.first} // a restart
			advance(c.want)
		})
	}
}

// A scheduler seals what is full, and shows the head.
func TestSchedulerSeals(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	jobstest.PublishNames(t, w.Log, jobstest.Span(1, 1100)...)
	jobstest.Verify(t, w.Config.Store, jobstest.Span(1, 1099)...)
	jobstest.Judge(t, w.Config.Store, 1100, verdict.Rejected, "overlapping_labels", 1099, 1100)
	s := w.schedule()
	s.Poll = 20 * time.Millisecond
	s.Metrics = metrics.New(metrics.Options{Namespaces: []string{jobstest.Namespace}})
	scheduler, err := New(queuetest.Miniredis(t), []Config{s}, w.Config.Log)
	if err != nil {
		t.Fatal(err)
	}
	stop := jobstest.Background(t, scheduler.Run)
	jobstest.Eventually(t, "the head", func() bool { return scheduler.logs[0].progress.verifiedUpTo() == 1099 })
	stop()
	h, err := w.Config.Store.History(t.Context(), jobstest.Namespace)
	if err != nil || len(h.Spans) != 1 || h.Spans[0].To != 999 {
		t.Errorf("sealed is %+v, %v", h.Spans, err)
	}
	if state := scheduler.logs[0].newFollower().state(); state.Head != 1099 {
		t.Errorf("shown is head %d", state.Head)
	}
}
