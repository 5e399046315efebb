package queue_test

import (
	"testing"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/jobs/queue"
)

// An epoch may wait for its audit and for another one at the same time, once each.
func TestReauditsHaveTasksOfTheirOwn(t *testing.T) {
	t.Parallel()
	queuetest.OnEachRedis(t, func(t *testing.T, r *queue.Redis) {
		e := queuetest.Enqueuer(r)
		for range 2 {
			if err := r.EnqueueReaudits(t.Context(), jobstest.Namespace, queue.Backfill, []uint64{2, 3}); err != nil {
				t.Fatal(err)
			}
		}
		if c, err := queuetest.Counts(r, queue.Backfill); err != nil || c.Pending != 2 {
			t.Errorf("%d tasks wait, %v, want 2", c.Pending, err)
		}
		queuetest.MustEnqueue(t, e, 1, 3, queue.EnqueueCounts{Enqueued: 3})
		info, err := r.Inspector().GetTaskInfo(queuetest.Backfill, queue.Task{Namespace: jobstest.Namespace, Epoch: 3, Reaudit: true}.ID())
		if err != nil {
			t.Fatal(err)
		}
		if task, err := queue.ParseTask(info.Payload); err != nil || !task.Reaudit || task.Epoch != 3 {
			t.Errorf("the task is %+v, %v", task, err)
		}
	})
}

func TestTasksOfEarlierVersionsAreNoReaudits(t *testing.T) {
	t.Parallel()
	task, err := queue.ParseTask([]byte(`{"namespace":"example","epoch":7}`))
	if err != nil || task != (queue.Task{Namespace: "example", Epoch: 7}) {
		t.Errorf("%+v, %v", task, err)
	}
}
