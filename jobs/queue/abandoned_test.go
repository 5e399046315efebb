package queue_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/rs/zerolog"
)

// activate makes a task one in flight, without a lease.
func activate(t *testing.T, r *queue.Redis, id string) {
	t.Helper()
	queuetest.Do(t, r, "LREM", queue.Key(queuetest.Backfill, "pending"), 0, id)
	queuetest.Do(t, r, "LPUSH", queue.Key(queuetest.Backfill, "active"), id)
	queuetest.Do(t, r, "HSET", queue.Key(queuetest.Backfill, "t:"+id), "state", "active")
}

func idOf(epoch uint64) string { return queue.Task{Namespace: jobstest.Namespace, Epoch: epoch}.ID() }

// A task in flight without a lease is nobody's, which the counts say. Who enqueues its epoch puts it
// back as it is, and no second one beside it.
func TestNobodysTaskIsPutBack(t *testing.T) {
	t.Parallel()
	queuetest.OnEachRedis(t, func(t *testing.T, r *queue.Redis) {
		e := queuetest.Enqueuer(r)
		queuetest.MustEnqueue(t, e, 1, 3, queue.EnqueueCounts{Enqueued: 3})
		activate(t, r, idOf(2))
		activate(t, r, idOf(3))
		queuetest.Do(t, r, "ZADD", queue.Key(queuetest.Backfill, "lease"), time.Now().Add(time.Minute).Unix(), idOf(3)) // a worker's
		c, err := queuetest.Counts(r, queue.Backfill)
		if err != nil || c.Active != 2 || c.Abandoned != 1 {
			t.Errorf("counts are %+v, %v", c, err)
		}
		queuetest.MustEnqueue(t, e, 1, 3, queue.EnqueueCounts{AlreadyQueued: 2, Revived: 1})
		pending := r.Client.LRange(t.Context(), queue.Key(queuetest.Backfill, "pending"), 0, -1).Val()
		if diff := cmp.Diff([]string{idOf(1), idOf(2)}, pending); diff != "" {
			t.Errorf("in line (-want +got):\n%s", diff)
		}
		if c, err := queuetest.Counts(r, queue.Backfill); err != nil || c.Active != 1 || c.Abandoned != 0 {
			t.Errorf("counts are %+v, %v", c, err)
		}
	})
}

// Who watches puts back what has no lease or one that stands still, and nothing whose lease is
// renewed, whatever the clocks of workers say. What has no contents leaves the list.
func TestReviveAbandoned(t *testing.T) {
	t.Parallel()
	r := queuetest.Connect(t, testservers.Redis(t).URL())
	queuetest.MustEnqueue(t, queuetest.Enqueuer(r), 1, 5, queue.EnqueueCounts{Enqueued: 5})
	lease := queue.Key(queuetest.Backfill, "lease")
	for epoch := uint64(1); epoch <= 4; epoch++ {
		activate(t, r, idOf(epoch))
	}
	queuetest.Do(t, r, "ZADD", lease, time.Now().Add(10*time.Hour).Unix(), idOf(2))  // a killed worker's whose clock was ahead
	queuetest.Do(t, r, "ZADD", lease, time.Now().Add(-10*time.Hour).Unix(), idOf(3)) // a living one's whose clock is behind
	queuetest.Do(t, r, "DEL", queue.Key(queuetest.Backfill, "t:"+idOf(4)))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	began := time.Now()
	go func() {
		r.ReviveAbandoned(ctx, []string{jobstest.Namespace}, zerolog.Nop())
		close(ended)
	}()
	beat := time.Now().Add(-10 * time.Hour).Unix()
	active := func() []string {
		return r.Client.LRange(t.Context(), queue.Key(queuetest.Backfill, "active"), 0, -1).Val()
	}
	jobstest.Eventually(t, "only the living one's is in flight", func() bool {
		beat++
		queuetest.Do(t, r, "ZADD", lease, beat, idOf(3))
		return cmp.Equal(active(), []string{idOf(3)})
	})
	if took := time.Since(began); took < 15*time.Second {
		t.Errorf("after %s: too soon to tell", took)
	}
	cancel()
	<-ended
	pending := r.Client.LRange(t.Context(), queue.Key(queuetest.Backfill, "pending"), 0, -1).Val()
	if len(pending) != 3 || pending[0] != idOf(5) {
		t.Errorf("in line are %q, want those put back in front", pending)
	}
}
