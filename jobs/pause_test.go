package jobs

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
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
