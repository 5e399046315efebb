package jobs

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadCounts(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		mustEnqueue(t, enqueuer(r), 1, 5, Counts{Enqueued: 5})
		if err := r.inspector().ArchiveTask(backfillQueue, Task{testNamespace, 3}.ID()); err != nil {
			t.Fatal(err)
		}
		if err := r.inspector().PauseQueue(backfillQueue); err != nil {
			t.Fatal(err)
		}
		got, err := r.ReadCounts(testNamespace)
		if err != nil {
			t.Fatal(err)
		}
		want := []QueueCounts{
			{Namespace: testNamespace, Queue: Queue(testNamespace, Fresh), Class: Fresh},
			{Namespace: testNamespace, Queue: backfillQueue, Class: Backfill, Pending: 4, Archived: 1, Paused: true},
		}
		for i := range got {
			got[i].OldestPending = 0 // what it is depends on the clock
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("queues differ (-want +got):\n%s", diff)
		}
	})
}
