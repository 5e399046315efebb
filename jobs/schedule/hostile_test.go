package schedule

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

// doubling returns 38 epochs at doubling distances from one, up to some 10¹¹ further.
func doubling(from uint64) (epochs []uint64) {
	for i := range 38 {
		epochs = append(epochs, from+2<<i)
	}
	return epochs
}

// Thirty-eight junk objects at doubling distances move neither the head nor the end of history. The
// honest epochs that go on before them are put on the queue as they come, nothing is called skipped
// or silent that is not, and people are told once.
func TestHostileJunkAtDoublingDistances(t *testing.T) {
	t.Parallel()
	w, r := emptyWorld(t), queuetest.Miniredis(t)
	jobstest.PublishNames(t, w.Log, jobstest.Span(1, 1100)...)
	jobstest.PublishNames(t, w.Log, doubling(1100)[5:]...)
	s := w.schedule()
	m, series := jobstest.Measure(t)
	s.SilentAfter, s.Metrics = 2*time.Hour, m // the log is dated by the real clock
	source := watch(w.Log)
	s.Fetcher = source.fetcher(t)
	l := mustHave(t, r, s)
	now := time.Now()
	for epoch := uint64(1100); epoch <= 1108; epoch++ {
		if epoch > 1100 {
			jobstest.PublishNames(t, w.Log, epoch)
		}
		source.requests.Store(0)
		l.follower.mustRound(t, now)
		l.mustBackfill(t, now)
		if newest := l.progress.published(); newest != epoch {
			t.Fatalf("the head is %d, want %d", newest, epoch)
		}
		if shown := series()["newest_published_epoch"]; shown != strconv.FormatUint(epoch, 10) {
			t.Fatalf("shown is epoch %s, want %d", shown, epoch)
		}
		if epoch > 1100 && source.requests.Load() > 150 {
			t.Errorf("%d requests in a round", source.requests.Load())
		}
		if !slices.Contains(queued(t, r, queue.Fresh), epoch) {
			t.Errorf("epoch %d is not on the queue", epoch)
		}
		now = now.Add(time.Minute)
	}
	if end := l.progress.endOfHistory(); end != 108 {
		t.Errorf("history ends with %d", end)
	}
	if epochs := queued(t, r, queue.Backfill); epochs[len(epochs)-1] > 108 {
		t.Errorf("of history are queued %v", epochs)
	}
	jobstest.WantNotices(t, w.Config.Store, "2-implausible.000000001612")
}

// What was rejected far ahead, by an earlier version that followed it, does not keep the head
// there. What else is on record there is still told.
func TestHostileFarVerdictsOnRecord(t *testing.T) {
	t.Parallel()
	w, r := emptyWorld(t), queuetest.Miniredis(t)
	jobstest.PublishNames(t, w.Log, jobstest.Span(1, 60)...)
	jobstest.Verify(t, w.Config.Store, jobstest.Span(1, 50)...)
	far := doubling(50)[4:]
	jobstest.PublishNames(t, w.Log, far...)
	for _, epoch := range far {
		jobstest.Judge(t, w.Config.Store, epoch, verdict.Rejected, "malformed_proof", epoch-1, epoch)
	}
	jobstest.Judge(t, w.Config.Store, 9_000_001, verdict.Verified, "", 1, 2)
	jobstest.Judge(t, w.Config.Store, 9_000_002, verdict.Verified, "", 3, 4)
	l := mustHave(t, r, w.schedule())
	l.follower.mustRound(t, time.Now())
	if newest := l.progress.published(); newest != 60 {
		t.Errorf("the head is %d, want 60", newest)
	}
	if got := queued(t, r, queue.Fresh); !slices.Equal(got, jobstest.Span(51, 60)) {
		t.Errorf("queued are %v", got)
	}
	got := jobstest.Incidents(t, w.Config.Store)
	for _, want := range []string{"1-contradiction.000009000002.chain", "1-rejected.000000000082"} {
		if !slices.Contains(got, want) {
			t.Errorf("not told: %s; told are %v", want, got)
		}
	}
}

// An island of two epochs that continue each other is told of and not followed, and silence is
// judged where the chain ends. When the island is gone, that is told too.
func TestHostileFarIsland(t *testing.T) {
	t.Parallel()
	w, r := emptyWorld(t), queuetest.Miniredis(t)
	jobstest.PublishNames(t, w.Log, jobstest.Span(1, 30)...)
	jobstest.PublishNames(t, w.Log, 30+1<<15, 31+1<<15)
	s := w.schedule()
	s.SilentAfter = time.Hour
	l := mustHave(t, r, s)
	now := time.Now().Add(30 * time.Minute)
	for range 40 {
		l.follower.mustRound(t, now)
		now = now.Add(time.Minute)
	}
	if newest := l.progress.published(); newest != 30 {
		t.Errorf("the head is %d, want 30", newest)
	}
	jobstest.WantNotices(t, w.Config.Store, "2-implausible.000000032798", "2-silent.000000000030")
	for _, o := range jobstest.Keys(t, w.Log) {
		if strings.HasPrefix(o, "327") {
			jobstest.Must(t, w.Log.Delete(t.Context(), o))
		}
	}
	for range 10 {
		l.follower.mustRound(t, now)
		now = now.Add(time.Minute)
	}
	jobstest.WantNotices(t, w.Config.Store, "2-implausible.000000032798", "2-silent.000000000030", "3-implausible.000000032798")
}

// A log that hangs is one whose rounds fail in bounded time. What was known of it before is worked
// on all the same, history too.
func TestHostileHangingListings(t *testing.T) {
	t.Parallel()
	w, r := emptyWorld(t), queuetest.Miniredis(t)
	jobstest.PublishNames(t, w.Log, jobstest.Span(1, 1020)...)
	source := watch(w.Log)
	s := w.schedule()
	s.Fetcher, s.TransientAfter = source.fetcher(t), time.Hour
	l := mustHave(t, r, s)
	now := time.Now()
	l.follower.mustRound(t, now)
	l.mustBackfill(t, now)
	queuetest.Do(t, r, "FLUSHALL")
	source.stuck = true
	l.follower.patience = patience{10 * time.Millisecond, 10 * time.Millisecond}
	l.backfiller.patience = 10 * time.Millisecond
	for _, after := range []time.Duration{time.Minute, 62 * time.Minute} {
		if err := l.follower.round(t.Context(), now.Add(after)); err == nil || !strings.Contains(err.Error(), "took longer than 10ms") {
			t.Errorf("error is %v", err)
		}
		if err := l.backfiller.round(t.Context(), now.Add(after)); err == nil || !strings.Contains(err.Error(), "took longer than 10ms") {
			t.Errorf("error is %v", err)
		}
	}
	if got := queued(t, r, queue.Fresh); !slices.Equal(got, jobstest.Span(21, 1020)) {
		t.Errorf("%d fresh epochs are queued, want 1000", len(got))
	}
	wantQueued(t, r, queue.Backfill, jobstest.Span(1, 20)...)
	if got := jobstest.Notices(t, w.Config.Store); len(got) != 1 || !strings.Contains(got[0], "2-transient.") {
		t.Errorf("told are %v", got)
	}
}

// A log whose listings hang does not slow the rounds of another one down.
func TestHostileHangingLogCostsOnlyItself(t *testing.T) {
	t.Parallel()
	good, bad := emptyWorld(t), emptyWorld(t)
	stuck := watch(bad.Log)
	stuck.stuck = true
	var logs []Config
	for _, name := range []string{"stuck.one", "stuck.two", "stuck.three"} {
		c := bad.schedule()
		c.Namespace, c.Fetcher, c.Poll = name, stuck.fetcher(t), 20*time.Millisecond
		logs = append(logs, c)
	}
	s, r := good.schedule(), queuetest.Miniredis(t)
	s.Poll = 20 * time.Millisecond
	scheduler, err := New(r, append(logs, s), zerolog.Nop())
	jobstest.Must(t, err)
	jobstest.Background(t, scheduler.Run)
	jobstest.Eventually(t, "requests that hang", func() bool { return stuck.requests.Load() >= 3 })
	for epoch := uint64(1); epoch <= 40; epoch++ {
		jobstest.PublishNames(t, good.Log, epoch)
		jobstest.Eventually(t, "the epoch on the queue", func() bool { return queuedOn(t, r, queue.Fresh) == int(epoch) })
	}
}

// A missing epoch is no skip as long as only a cache says that it is missing; once the log itself
// has said so often enough and for long enough, it is. So it is in history.
func TestHostileCachedAbsenceIsNoSkip(t *testing.T) {
	t.Parallel()
	for name, recent := range map[string]uint64{"recent": 1000, "history": 10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, r := emptyWorld(t), queuetest.Miniredis(t)
			jobstest.PublishNames(t, w.Log, 1, 2)
			jobstest.PublishNames(t, w.Log, jobstest.Span(4, 40)...)
			source := watch(w.Log)
			source.cached = "3/"
			s := w.schedule()
			s.Fetcher, s.Cadence = source.fetcher(t), time.Minute
			l := mustSchedule(t, r, s, 40, recent)
			jobstest.Verify(t, w.Config.Store, 1, 2)
			jobstest.Verify(t, w.Config.Store, jobstest.Span(4, 40)...)
			now := time.Now().Add(time.Hour)
			rounds := func(n int) {
				for range n {
					l.follower.mustRound(t, now)
					l.mustBackfill(t, now)
					now = now.Add(time.Minute)
				}
			}
			rounds(30)
			jobstest.WantNotices(t, w.Config.Store)
			source.cached = ""
			rounds(skippedCadences)
			jobstest.WantNotices(t, w.Config.Store)
			rounds(2)
			jobstest.WantNotices(t, w.Config.Store, "1-skipped.000000000003")
		})
	}
}

// Listings that show epochs late and out of order are followed without an alert.
func TestHostileLaggingListings(t *testing.T) {
	t.Parallel()
	w, r := emptyWorld(t), queuetest.Miniredis(t)
	jobstest.PublishNames(t, w.Log, jobstest.Span(1, 20)...)
	source := watch(w.Log)
	s := w.schedule()
	s.Fetcher = source.fetcher(t)
	l := mustHave(t, r, s)
	now := time.Now()
	for epoch := uint64(21); epoch <= 50; epoch++ {
		// The epoch is listed two rounds after the next one.
		source.lags = strconv.FormatUint(epoch, 10) + "/"
		jobstest.PublishNames(t, w.Log, epoch, epoch+1)
		for range 2 {
			l.follower.mustRound(t, now)
			now = now.Add(time.Minute)
		}
		source.lags = ""
		l.follower.mustRound(t, now)
		if newest := l.progress.published(); newest != epoch+1 {
			t.Fatalf("the head is %d, want %d", newest, epoch+1)
		}
		epoch++
	}
	jobstest.WantNotices(t, w.Config.Store)
}
