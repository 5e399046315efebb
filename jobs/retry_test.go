package jobs

import (
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
)

// wait makes the tasks of epochs wait an hour, as a fault of the network does.
func waitIn(t *testing.T, r *Redis, class Class, epochs ...uint64) {
	t.Helper()
	queue := Queue(testNamespace, class)
	for _, epoch := range epochs {
		id := Task{testNamespace, epoch}.ID()
		do(t, r, "LREM", queueKey(queue, "pending"), 0, id)
		do(t, r, "ZADD", queueKey(queue, "retry"), time.Now().Add(time.Hour).Unix(), id)
		do(t, r, "HSET", queueKey(queue, "t:"+id), "state", "retry")
	}
}

// TestRetryOfLostTasks: what Redis lost in part is said not to be on the queue.
func TestRetryOfLostTasks(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		store := auditstore.New(openMemory(t))
		mustEnqueue(t, enqueuer(r), 1, 3, Counts{Enqueued: 3})
		waitIn(t, r, Backfill, 1, 2, 3)
		do(t, r, "DEL", queueKey(backfillQueue, "t:"+Task{testNamespace, 1}.ID()))
		do(t, r, "ZREM", queueKey(backfillQueue, "retry"), Task{testNamespace, 2}.ID())
		got, err := Retry(t.Context(), r, testNamespace, []uint64{1, 2, 3}, isJudged(store))
		if want := (RetryCounts{Retried: 1, NotQueued: 2}); err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	})
}
