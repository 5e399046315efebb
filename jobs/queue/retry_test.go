package queue_test

import (
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/jobs/queue"
)

// TestRetryOfLostTasks: what queue.Redis lost in part is said not to be on the queue.
func TestRetryOfLostTasks(t *testing.T) {
	t.Parallel()
	queuetest.OnEachRedis(t, func(t *testing.T, r *queue.Redis) {
		store := auditstore.New(jobstest.OpenMemory(t))
		queuetest.MustEnqueue(t, queuetest.Enqueuer(r), 1, 3, queue.EnqueueCounts{Enqueued: 3})
		queuetest.WaitIn(t, r, queue.Backfill, 1, 2, 3)
		queuetest.Do(t, r, "DEL", queue.Key(queuetest.Backfill, "t:"+queue.Task{Namespace: jobstest.Namespace, Epoch: 1}.ID()))
		queuetest.Do(t, r, "ZREM", queue.Key(queuetest.Backfill, "retry"), queue.Task{Namespace: jobstest.Namespace, Epoch: 2}.ID())
		got, err := queue.Retry(t.Context(), r, jobstest.Namespace, []uint64{1, 2, 3}, queuetest.IsJudged(store))
		if want := (queue.RetryCounts{Retried: 1, NotQueued: 2}); err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	})
}
