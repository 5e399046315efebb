package jobs

import (
	"slices"
	"testing"

	"github.com/ktaudit/ktaudit/internal/simlog"
)

// TestPausedQueueIsNotWorkedOn shows that the pause reaches workers, and that nothing is lost by it.
func TestPausedQueueIsNotWorkedOn(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		w := newWorld(t, simlog.Options{Epochs: 8})
		mustEnqueue(t, enqueuer(r), 1, 5, Counts{Enqueued: 5})
		if _, err := Pause(t.Context(), r, testNamespace, Backfill); err != nil {
			t.Fatal(err)
		}
		startWorker(t, r, w.auditor(t), WorkerConfig{})
		for epoch := uint64(6); epoch <= 8; epoch++ { // one after the other, so that the worker looks at its queues in between
			fresh := &Enqueuer{Redis: r, Namespace: testNamespace, Class: Fresh}
			mustEnqueue(t, fresh, epoch, epoch, Counts{Enqueued: 1})
			eventually(t, "a fresh epoch is judged", func() bool { return w.judged(t, epoch, epoch) == 1 })
		}
		if n := w.judged(t, 1, 5); n != 0 {
			t.Errorf("%d epochs of a paused queue were judged", n)
		}
		mustEnqueue(t, enqueuer(r), 1, 5, Counts{AlreadyQueued: 5})
		if _, err := Resume(t.Context(), r, testNamespace, ""); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the backfill goes on", func() bool { return w.judged(t, 1, 5) == 5 })
	})
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
