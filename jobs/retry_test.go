package jobs

import (
	"slices"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/simlog"
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

func TestRetry(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		ctx := t.Context()
		w := newWorld(t, simlog.Options{Epochs: 9})
		store := w.config.Store
		fresh := &Enqueuer{Redis: r, Namespace: testNamespace, Class: Fresh}
		mustEnqueue(t, enqueuer(r), 1, 6, Counts{Enqueued: 6})
		mustEnqueue(t, fresh, 7, 8, Counts{Enqueued: 2})
		waitIn(t, r, Backfill, 2, 3, 4)
		waitIn(t, r, Fresh, 8)
		if err := r.inspector().ArchiveTask(backfillQueue, Task{testNamespace, 5}.ID()); err != nil {
			t.Fatal(err)
		}
		if _, err := w.auditor(t).Audit(ctx, 4); err != nil { // by somebody else
			t.Fatal(err)
		}
		for _, step := range []struct {
			name   string
			epochs []uint64
			want   RetryCounts
		}{
			{"waiting, in line, judged, twice, unknown", []uint64{9, 2, 4, 1, 2}, RetryCounts{Retried: 1, AlreadyQueued: 1, AlreadyJudged: 1, NotQueued: 1}},
			{"again", []uint64{1, 2}, RetryCounts{AlreadyQueued: 2}},
			{"all", nil, RetryCounts{Retried: 3, AlreadyJudged: 1}},
			{"all again", nil, RetryCounts{AlreadyJudged: 1}},
		} {
			epochs := slices.Clone(step.epochs)
			if got, err := Retry(ctx, r, testNamespace, epochs, isJudged(store)); err != nil || got != step.want {
				t.Fatalf("%s: %+v, %v, want %+v", step.name, got, err, step.want)
			}
			if !slices.Equal(epochs, step.epochs) {
				t.Errorf("%s: the caller's epochs were changed to %v", step.name, epochs)
			}
		}
		startWorker(t, r, w.auditor(t), WorkerConfig{})
		eventually(t, "all are judged", func() bool { return w.judged(t, 1, 8) == 8 })
	})
}

// TestRetryOfLostTasks: what Redis lost in part is said not to be on the queue.
func TestRetryOfLostTasks(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		w := newWorld(t, simlog.Options{Epochs: 3})
		mustEnqueue(t, enqueuer(r), 1, 3, Counts{Enqueued: 3})
		waitIn(t, r, Backfill, 1, 2, 3)
		do(t, r, "DEL", queueKey(backfillQueue, "t:"+Task{testNamespace, 1}.ID()))
		do(t, r, "ZREM", queueKey(backfillQueue, "retry"), Task{testNamespace, 2}.ID())
		got, err := Retry(t.Context(), r, testNamespace, []uint64{1, 2, 3}, isJudged(w.config.Store))
		if want := (RetryCounts{Retried: 1, NotQueued: 2}); err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	})
}
