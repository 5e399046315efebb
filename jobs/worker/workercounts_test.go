package worker

import (
	"context"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/audittest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/rs/zerolog"
)

func TestReadQueues(t *testing.T) {
	t.Parallel()
	queuetest.OnEachRedis(t, func(t *testing.T, r *queue.Redis) {
		if err := r.Probe(t.Context(), jobstest.Namespace); err != nil {
			t.Fatal(err)
		}
		w := audittest.New(t, simlog.Options{Epochs: 1})
		namespaces := []string{jobstest.Namespace, "other"}
		queues, err := r.ReadCounts(namespaces...)
		if err != nil || len(queues) != 4 {
			t.Fatalf("an empty Redis has %+v, %v", queues, err)
		}
		workers, err := r.LiveWorkers(namespaces...)
		if err != nil || len(workers) != 0 {
			t.Fatalf("an empty Redis has workers %+v, %v", workers, err)
		}
		client := asynq.NewClientFromRedisClient(r.Client)
		for epoch := uint64(100); epoch < 103; epoch++ {
			task := queue.Task{Namespace: jobstest.Namespace, Epoch: epoch}
			if _, err := client.Enqueue(asynq.NewTask(queue.TypeAudit, nil), asynq.Queue(queue.Name(jobstest.Namespace, queue.Backfill)), asynq.TaskID(task.ID())); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Inspector().PauseQueue(queue.Name(jobstest.Namespace, queue.Backfill)); err != nil {
			t.Fatal(err)
		}
		worker, err := New(r, []*audit.Auditor{w.Auditor(t)}, complete(Config{}), zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- worker.Run(ctx) }()
		deadline := time.Now().Add(30 * time.Second)
		for workers[jobstest.Namespace] == 0 && time.Now().Before(deadline) {
			if workers, err = r.LiveWorkers(namespaces...); err != nil {
				t.Fatal(err)
			}
		}
		if queues, err = r.ReadCounts(namespaces...); err != nil {
			t.Fatal(err)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if workers[jobstest.Namespace] != 1 || workers["other"] != 0 {
			t.Errorf("workers: %v", workers)
		}
		for _, q := range queues {
			backfill := q.Namespace == jobstest.Namespace && q.Class == queue.Backfill
			if want := map[bool]int{true: 3}[backfill]; q.Pending != want || q.Paused != backfill {
				t.Errorf("queue %+v, want %d pending", q, want)
			}
		}
	})
}
