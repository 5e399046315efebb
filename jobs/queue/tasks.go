package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/hibiken/asynq"
	"github.com/ktaudit/ktaudit/verdict/epochset"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
)

// removeWorkers is how many epochs are taken off the queue at once.
const removeWorkers = 32

// LastAttempt says why an epoch's job ended without a verdict when it was last tried, and whether
// that was a fault or it waits for something; nil if it was not tried, as far as the queue knows.
func (r *Redis) LastAttempt(namespace string, epoch uint64) (fault bool, why error) {
	inspector := r.Inspector()
	for _, c := range Classes {
		task, err := inspector.GetTaskInfo(Name(namespace, c), Task{Namespace: namespace, Epoch: epoch}.ID())
		if err == nil && task.LastErr != "" {
			return task.Retried > 0, errors.New(task.LastErr) // see isFailure of jobs/worker
		}
	}
	return false, nil
}

// Waiting returns how many epochs of a class are on the queue, those in flight included, in one
// round trip.
func (r *Redis) Waiting(ctx context.Context, namespace string, class Class) (int64, error) {
	queue := Name(namespace, class)
	pipe := r.Client.Pipeline()
	counts := []*redis.IntCmd{
		pipe.LLen(ctx, Key(queue, "pending")), pipe.LLen(ctx, Key(queue, "active")),
		pipe.ZCard(ctx, Key(queue, "scheduled")), pipe.ZCard(ctx, Key(queue, "retry")),
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return 0, fmt.Errorf("redis at %s: %w", r, err)
	}
	waiting := int64(0)
	for _, count := range counts {
		waiting += count.Val()
	}
	return waiting, nil
}

// Remove takes the unwanted epochs of a namespace off its queues. One that a worker is at stays.
func (r *Redis) Remove(ctx context.Context, namespace string, unwanted func(epoch uint64) bool) error {
	var group errgroup.Group
	group.SetLimit(removeWorkers)
	inspector := r.Inspector()
	for _, class := range Classes {
		queue := Name(namespace, class)
		var queued epochset.Set
		if err := ReadQueued(ctx, r.Client, namespace, queue, &queued); err != nil {
			return err
		}
		for epoch := range queued.All() {
			if !unwanted(epoch) {
				continue
			}
			group.Go(func() error {
				id := Task{Namespace: namespace, Epoch: epoch}.ID()
				err := inspector.DeleteTask(queue, id)
				if err == nil || errors.Is(err, asynq.ErrTaskNotFound) || errors.Is(err, asynq.ErrQueueNotFound) {
					return nil
				}
				if task, infoErr := inspector.GetTaskInfo(queue, id); infoErr == nil && task.State == asynq.TaskStateActive {
					return nil
				}
				return fmt.Errorf("taking epoch %d off the queue: %w", epoch, err)
			})
		}
	}
	return group.Wait()
}
