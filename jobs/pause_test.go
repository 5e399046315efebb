package jobs

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ktaudit/ktaudit/internal/simlog"
)

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		ctx := t.Context()
		if _, err := Pause(ctx, r, testNamespace, ""); !errors.Is(err, ErrNoQueue) {
			t.Errorf("pausing queues that never were: error %v, want ErrNoQueue", err)
		}
		backfill := &Enqueuer{Redis: r, Namespace: testNamespace}
		if _, err := backfill.Enqueue(ctx, 1, 3, nil); err != nil {
			t.Fatal(err)
		}
		fresh, history := Queue(testNamespace, Fresh), Queue(testNamespace, Backfill)
		for _, step := range []struct {
			name string
			got  func() ([]PausedQueue, error)
			want []PausedQueue
		}{
			{"one class", func() ([]PausedQueue, error) { return Pause(ctx, r, testNamespace, Backfill) },
				[]PausedQueue{{history, Backfill, true, true}}},
			{"again, and one that has no epoch yet", func() ([]PausedQueue, error) { return Pause(ctx, r, testNamespace, "") },
				[]PausedQueue{{fresh, Fresh, true, true}, {history, Backfill, true, false}}},
			{"resume one", func() ([]PausedQueue, error) { return Resume(ctx, r, testNamespace, Fresh) },
				[]PausedQueue{{fresh, Fresh, false, true}}},
			{"resume all", func() ([]PausedQueue, error) { return Resume(ctx, r, testNamespace, "") },
				[]PausedQueue{{fresh, Fresh, false, false}, {history, Backfill, false, true}}},
		} {
			got, err := step.got()
			if err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			if diff := cmp.Diff(step.want, got); diff != "" {
				t.Errorf("%s: differs (-want +got):\n%s", step.name, diff)
			}
			for _, q := range got {
				if counts, err := queueCounts(r, q.Class); err != nil || q.Class == Backfill && counts.Paused != q.Paused {
					t.Errorf("%s: the status says paused %v, %v, want %v", step.name, counts.Paused, err, q.Paused)
				}
			}
		}
	})
}

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
