// Package queuetest supplies the tests of the rooms around the queue with queues.
package queuetest

import (
	"context"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/queue/inprocess"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
)

// Connect connects to a Redis until the test ends.
func Connect(t testing.TB, url string) *queue.Redis {
	t.Helper()
	r, err := queue.Connect(t.Context(), url, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// Queue is what each kind of queue can do.
type Queue interface {
	Serve(queue.Serving) (stop func(), err error)
	EnqueueEach(ctx context.Context, namespace string, class queue.Class, produce func(send func(epoch uint64) error) error) (queue.EnqueueCounts, error)
	EnqueueReaudits(ctx context.Context, namespace string, class queue.Class, epochs []uint64) error
	Remove(ctx context.Context, namespace string, unwanted func(epoch uint64) bool) error
	Waiting(ctx context.Context, namespace string, class queue.Class) (int64, error)
	LastAttempt(namespace string, epoch uint64) (fault bool, why error)
	ReadCounts(namespaces ...string) ([]queue.Counts, error)
	LiveWorkers(namespaces ...string) (map[string]int, error)
	Probe(ctx context.Context, namespaces ...string) error
	IsShared() bool
	String() string
}

// OnEachRedis runs a test on a real Redis, and on one that is none but needs no server.
func OnEachRedis(t *testing.T, test func(t *testing.T, r *queue.Redis)) {
	t.Helper()
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		test(t, Miniredis(t))
	})
	t.Run("redis-server", func(t *testing.T) {
		t.Parallel()
		test(t, Connect(t, testservers.Redis(t).URL()))
	})
}

// OnEach runs a test on each kind of queue.
func OnEach(t *testing.T, test func(t *testing.T, q Queue)) {
	t.Helper()
	t.Run("in process", func(t *testing.T) {
		t.Parallel()
		test(t, InProcess(t))
	})
	OnEachRedis(t, func(t *testing.T, r *queue.Redis) { test(t, r) })
}

// Miniredis returns a queue in a Redis inside the test, which the test may look into.
func Miniredis(t testing.TB) *queue.Redis {
	t.Helper()
	server, err := miniredis.Run()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return Connect(t, "redis://"+server.Addr())
}

// InProcess returns a queue of this process.
func InProcess(t testing.TB) *inprocess.Queue {
	q := inprocess.New()
	t.Cleanup(func() { _ = q.Close() })
	return q
}

// MustPut puts epochs on the test's queue of one class.
func MustPut(t testing.TB, q Queue, class queue.Class, from, to uint64, want queue.EnqueueCounts) {
	t.Helper()
	got, err := q.EnqueueEach(t.Context(), jobstest.Namespace, class, func(send func(uint64) error) error {
		for epoch := from; epoch <= to; epoch++ {
			if err := send(epoch); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Fatalf("enqueuing %d to %d: %+v, want %+v", from, to, got, want)
	}
}

// Counts returns the counts of the test's queue of one class.
func Counts(q Queue, class queue.Class) (queue.Counts, error) {
	all, err := q.ReadCounts(jobstest.Namespace)
	for _, c := range all {
		if c.Class == class {
			return c, err
		}
	}
	return queue.Counts{}, err
}

// JudgedRuns tells an enqueuer of the verdicts in a store.
func JudgedRuns(store *auditstore.Store) func(ctx context.Context, from, to uint64, visit func(from, to uint64) error) error {
	return func(ctx context.Context, from, to uint64, visit func(from, to uint64) error) error {
		return report.JudgedRuns(ctx, store, jobstest.Namespace, from, to, visit)
	}
}

// IsJudged tells Retry of the verdicts in a store.
func IsJudged(store *auditstore.Store) func(context.Context, uint64) (bool, error) {
	return func(ctx context.Context, epoch uint64) (bool, error) {
		return report.IsJudged(ctx, store, jobstest.Namespace, epoch)
	}
}

func Enqueuer(r *queue.Redis) *queue.Enqueuer {
	return &queue.Enqueuer{Redis: r, Namespace: jobstest.Namespace}
}

var Backfill = queue.Name(jobstest.Namespace, queue.Backfill)

func MustEnqueue(t *testing.T, e *queue.Enqueuer, from, to uint64, want queue.EnqueueCounts) {
	t.Helper()
	got, err := e.Enqueue(t.Context(), from, to, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Fatalf("enqueuing %d to %d: %+v, want %+v", from, to, got, want)
	}
}

func Do(t *testing.T, r *queue.Redis, args ...any) {
	t.Helper()
	if err := r.Client.Do(t.Context(), args...).Err(); err != nil && err != redis.Nil {
		t.Fatalf("%v: %v", args, err)
	}
}

// WaitIn makes the tasks of epochs wait an hour, as a fault of the network does.
func WaitIn(t *testing.T, r *queue.Redis, class queue.Class, epochs ...uint64) {
	t.Helper()
	name := queue.Name(jobstest.Namespace, class)
	for _, epoch := range epochs {
		id := queue.Task{Namespace: jobstest.Namespace, Epoch: epoch}.ID()
		Do(t, r, "LREM", queue.Key(name, "pending"), 0, id)
		Do(t, r, "ZADD", queue.Key(name, "retry"), time.Now().Add(time.Hour).Unix(), id)
		Do(t, r, "HSET", queue.Key(name, "t:"+id), "state", "retry")
	}
}
