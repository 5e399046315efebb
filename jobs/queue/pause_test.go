package queue_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/jobs/queue"
)

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	queuetest.OnEachRedis(t, func(t *testing.T, r *queue.Redis) {
		ctx := t.Context()
		if _, err := queue.Pause(ctx, r, jobstest.Namespace, ""); !errors.Is(err, queue.ErrNoQueue) {
			t.Errorf("pausing queues that never were: error %v, want ErrNoQueue", err)
		}
		backfill := &queue.Enqueuer{Redis: r, Namespace: jobstest.Namespace}
		if _, err := backfill.Enqueue(ctx, 1, 3, nil); err != nil {
			t.Fatal(err)
		}
		fresh, history := queue.Name(jobstest.Namespace, queue.Fresh), queue.Name(jobstest.Namespace, queue.Backfill)
		for _, step := range []struct {
			name string
			got  func() ([]queue.PausedQueue, error)
			want []queue.PausedQueue
		}{
			{"one class", func() ([]queue.PausedQueue, error) { return queue.Pause(ctx, r, jobstest.Namespace, queue.Backfill) },
				[]queue.PausedQueue{{history, queue.Backfill, true, true}}},
			{"again, and one that has no epoch yet", func() ([]queue.PausedQueue, error) { return queue.Pause(ctx, r, jobstest.Namespace, "") },
				[]queue.PausedQueue{{fresh, queue.Fresh, true, true}, {history, queue.Backfill, true, false}}},
			{"resume one", func() ([]queue.PausedQueue, error) { return queue.Resume(ctx, r, jobstest.Namespace, queue.Fresh) },
				[]queue.PausedQueue{{fresh, queue.Fresh, false, true}}},
			{"resume all", func() ([]queue.PausedQueue, error) { return queue.Resume(ctx, r, jobstest.Namespace, "") },
				[]queue.PausedQueue{{fresh, queue.Fresh, false, false}, {history, queue.Backfill, false, true}}},
		} {
			got, err := step.got()
			if err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			if diff := cmp.Diff(step.want, got); diff != "" {
				t.Errorf("%s: differs (-want +got):\n%s", step.name, diff)
			}
			for _, q := range got {
				if counts, err := queuetest.Counts(r, q.Class); err != nil || q.Class == queue.Backfill && counts.Paused != q.Paused {
					t.Errorf("%s: the status says paused %v, %v, want %v", step.name, counts.Paused, err, q.Paused)
				}
			}
		}
	})
}
