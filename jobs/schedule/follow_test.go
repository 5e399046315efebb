package schedule

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/s3list"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/rs/zerolog"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
)

// schedule is of a log that looks for nothing but what the test turns on.
func (w *world) schedule() Config {
	return Config{Namespace: jobstest.Namespace, Fetcher: w.Config.Fetcher, Store: w.Config.Store, First: 1, Poll: time.Minute, Window: 10_000}
}

// mustHave is a scheduler's log.
func mustHave(t testing.TB, r *queue.Redis, s Config) *scheduledLog {
	t.Helper()
	scheduler, err := New(r, []Config{s}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	l := scheduler.logs[0]
	l.progress.setHistoryResult(nil, time.Now()) // as after a round of history that went well
	return l
}

func mustFollow(t testing.TB, r *queue.Redis, c Config) *follower { return mustHave(t, r, c).follower }

// newFollower is another follower of the log, as after a restart, that shares what the first knows.
func (l *scheduledLog) newFollower() *follower {
	f := l.follower
	return newFollower(f.config, l.progress, f.queue, f.incidents, f.log)
}

func (f *follower) mustRound(t testing.TB, now time.Time) {
	t.Helper()
	if err := f.round(t.Context(), now); err != nil {
		t.Fatal(err)
	}
}

// queuedOn returns how many tasks a queue has in any state.
func queuedOn(t testing.TB, r *queue.Redis, c queue.Class) int {
	t.Helper()
	counts, err := queuetest.Counts(r, c)
	if err != nil {
		t.Fatal(err)
	}
	return counts.Pending + counts.Active + counts.Retry + counts.Archived
}

// A long gap is seen for one at the start, and otherwise after a while.
func TestLongGapIsPassed(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	jobstest.PublishNames(t, w.Log, jobstest.Span(1, 10)...)
	source := watch(w.Log)
	s := w.schedule()
	s.Fetcher = source.fetcher(t)
	f := mustFollow(t, queuetest.Miniredis(t), s)
	now := time.Now()
	f.mustRound(t, now)
	jobstest.PublishNames(t, w.Log, jobstest.Span(1000, 2000)...)
	rounds := 1
	for ; f.progress.published() != 2000 && rounds <= 10; rounds++ {
		if head := f.progress.published(); head != 10 {
			t.Errorf("head is %d after %d rounds", head, rounds)
		}
		source.requests.Store(0)
		now = now.Add(time.Minute)
		f.mustRound(t, now)
		if n := source.requests.Load(); f.progress.published() == 10 && n > 12 {
			t.Errorf("round %d took %d requests", rounds, n)
		}
	}
	if head := f.progress.published(); head != 2000 {
		t.Errorf("head is %d, want 2000", head)
	}
	f = mustFollow(t, queuetest.Miniredis(t), w.schedule())
	if f.mustRound(t, now); f.progress.published() != 2000 {
		t.Errorf("head is %d after a restart, want 2000", f.progress.published())
	}
}

// watchedLog is a log directory that counts what is asked of it, and can be made to fail.
type watchedLog struct {
	jobstest.FaultyBucket
	down     atomic.Bool
	hidden   string // what begins so cannot be listed
	stuck    bool   // it never answers
	lags     string // what begins so is not listed yet
	cached   string // a content network keeps the answer to what begins so
	requests atomic.Int64
	mu       sync.Mutex
	reads    map[uint64]int // of batches, by epoch
}

func watch(b *blob.Bucket) *watchedLog {
	return &watchedLog{
		FaultyBucket: jobstest.FaultyBucket{Faults: &jobstest.FaultyReads{Seed: rand.New(rand.NewPCG(1, 1))}, B: b}, reads: map[uint64]int{},
	}
}

func (w *watchedLog) ListPaged(ctx context.Context, o *driver.ListOptions) (*driver.ListPage, error) {
	w.requests.Add(1)
	if w.stuck {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if w.down.Load() || w.hidden != "" && o.Prefix == w.hidden {
		return nil, errors.New("the network is down")
	}
	if o.Prefix == w.cached {
		_ = o.BeforeList(func(as any) bool {
			freshness, ok := as.(*s3list.Freshness)
			if ok {
				freshness.Cached = true
			}
			return ok
		})
	}
	if o.Prefix == w.lags {
		return &driver.ListPage{}, nil
	}
	return w.FaultyBucket.ListPaged(ctx, o)
}

func (w *watchedLog) NewRangeReader(ctx context.Context, key string, offset, length int64, o *driver.ReaderOptions) (driver.Reader, error) {
	if name, _, err := fetcher.ParseKey(key); err == nil {
		w.mu.Lock()
		w.reads[name.Epoch]++
		w.mu.Unlock()
	}
	return w.FaultyBucket.NewRangeReader(ctx, key, offset, length, o)
}

func (w *watchedLog) NewTypedWriter(ctx context.Context, key, _ string, o *driver.WriterOptions) (driver.Writer, error) {
	return w.B.NewWriter(ctx, key, &blob.WriterOptions{IfNotExist: o.IfNotExist})
}

func (w *watchedLog) fetcher(t testing.TB) *fetcher.Fetcher {
	bucket := blob.NewBucket(w)
	t.Cleanup(func() { _ = bucket.Close() })
	return fetcher.New(bucket, fetcher.Options{Backoff: time.Millisecond, MaxAttempts: 2})
}

func TestFollowEnqueuesEachNewEpochOnce(t *testing.T) {
	t.Parallel()
	queuetest.OnEachRedis(t, func(t *testing.T, r *queue.Redis) {
		w := emptyWorld(t)
		one, other := mustFollow(t, r, w.schedule()), mustFollow(t, r, w.schedule())
		now := time.Now()
		one.mustRound(t, now)
		if n := queuedOn(t, r, queue.Fresh); n != 0 {
			t.Errorf("%d tasks for a log without epochs", n)
		}
		jobstest.PublishNames(t, w.Log, jobstest.Span(1, 12)...)
		for range 2 {
			one.mustRound(t, now)
			other.mustRound(t, now)
		}
		if n := queuedOn(t, r, queue.Fresh); n != 12 {
			t.Errorf("%d tasks for 12 epochs", n)
		}
		jobstest.PublishNames(t, w.Log, 13)
		other.mustRound(t, now)
		if n := queuedOn(t, r, queue.Fresh); n != 13 {
			t.Errorf("%d tasks for 13 epochs", n)
		}
		jobstest.WantNotices(t, w.Config.Store)
	})
}
