package queue_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/jobs/queue"
)

func TestReadCounts(t *testing.T) {
	t.Parallel()
	queuetest.OnEachRedis(t, func(t *testing.T, r *queue.Redis) {
		queuetest.MustEnqueue(t, queuetest.Enqueuer(r), 1, 5, queue.EnqueueCounts{Enqueued: 5})
		if err := r.Inspector().ArchiveTask(queuetest.Backfill, queue.Task{Namespace: jobstest.Namespace, Epoch: 3}.ID()); err != nil {
			t.Fatal(err)
		}
		if err := r.Inspector().PauseQueue(queuetest.Backfill); err != nil {
			t.Fatal(err)
		}
		got, err := r.ReadCounts(jobstest.Namespace)
		if err != nil {
			t.Fatal(err)
		}
		want := []queue.Counts{
			{Namespace: jobstest.Namespace, Queue: queue.Name(jobstest.Namespace, queue.Fresh), Class: queue.Fresh},
			{Namespace: jobstest.Namespace, Queue: queuetest.Backfill, Class: queue.Backfill, Pending: 4, Archived: 1, Paused: true},
		}
		for i := range got {
			got[i].OldestPending = 0 // what it is depends on the clock
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("queues differ (-want +got):\n%s", diff)
		}
	})
}
