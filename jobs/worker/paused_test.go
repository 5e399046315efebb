package worker

import (
	"slices"
	"testing"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/audittest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/queue"
)

// TestPausedQueueIsNotWorkedOn shows that the pause reaches workers, and that nothing is lost by
// it.
func TestPausedQueueIsNotWorkedOn(t *testing.T) {
	t.Parallel()
	queuetest.OnEachRedis(t, func(t *testing.T, r *queue.Redis) {
		w := audittest.New(t, simlog.Options{Epochs: 8})
		queuetest.MustPut(t, r, queue.Backfill, 1, 5, queue.EnqueueCounts{Enqueued: 5})
		if _, err := queue.Pause(t.Context(), r, jobstest.Namespace, queue.Backfill); err != nil {
			t.Fatal(err)
		}
		startWorker(t, r, w.Auditor(t), Config{})
		for epoch := uint64(6); epoch <= 8; epoch++ { // one after the other, so that the worker looks at its queues in between
			queuetest.MustPut(t, r, queue.Fresh, epoch, epoch, queue.EnqueueCounts{Enqueued: 1})
			jobstest.Eventually(t, "a fresh epoch is judged", func() bool { return w.Judged(t, epoch, epoch) == 1 })
		}
		if n := w.Judged(t, 1, 5); n != 0 {
			t.Errorf("%d epochs of a paused queue were judged", n)
		}
		queuetest.MustPut(t, r, queue.Backfill, 1, 5, queue.EnqueueCounts{AlreadyQueued: 5})
		if _, err := queue.Resume(t.Context(), r, jobstest.Namespace, ""); err != nil {
			t.Fatal(err)
		}
		jobstest.Eventually(t, "the backfill goes on", func() bool { return w.Judged(t, 1, 5) == 5 })
	})
}

func TestRetry(t *testing.T) {
	t.Parallel()
	queuetest.OnEachRedis(t, func(t *testing.T, r *queue.Redis) {
		ctx := t.Context()
		w := audittest.New(t, simlog.Options{Epochs: 9})
		store := w.Config.Store
		queuetest.MustPut(t, r, queue.Backfill, 1, 6, queue.EnqueueCounts{Enqueued: 6})
		queuetest.MustPut(t, r, queue.Fresh, 7, 8, queue.EnqueueCounts{Enqueued: 2})
		queuetest.WaitIn(t, r, queue.Backfill, 2, 3, 4)
		queuetest.WaitIn(t, r, queue.Fresh, 8)
		if err := r.Inspector().ArchiveTask(queuetest.Backfill, queue.Task{Namespace: jobstest.Namespace, Epoch: 5}.ID()); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Auditor(t).Audit(ctx, 4); err != nil { // by somebody else
			t.Fatal(err)
		}
		for _, step := range []struct {
			name   string
			epochs []uint64
			want   queue.RetryCounts
		}{
			{"waiting, in line, judged, twice, unknown", []uint64{9, 2, 4, 1, 2}, queue.RetryCounts{Retried: 1, AlreadyQueued: 1, AlreadyJudged: 1, NotQueued: 1}},
			{"again", []uint64{1, 2}, queue.RetryCounts{AlreadyQueued: 2}},
			{"all", nil, queue.RetryCounts{Retried: 3, AlreadyJudged: 1}},
			{"all again", nil, queue.RetryCounts{AlreadyJudged: 1}},
		} {
			epochs := slices.Clone(step.epochs)
			if got, err := queue.Retry(ctx, r, jobstest.Namespace, epochs, queuetest.IsJudged(store)); err != nil || got != step.want {
				t.Fatalf("%s: %+v, %v, want %+v", step.name, got, err, step.want)
			}
			if !slices.Equal(epochs, step.epochs) {
				t.Errorf("%s: the caller's epochs were changed to %v", step.name, epochs)
			}
		}
		startWorker(t, r, w.Auditor(t), Config{})
		jobstest.Eventually(t, "all are judged", func() bool { return w.Judged(t, 1, 8) == 8 })
	})
}
