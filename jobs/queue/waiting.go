package queue

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/hibiken/asynq"
)

// maxWaitingRead bounds how many of the tasks that wait in one queue are read, those that come
// next. A task is less than 1 KB.
const maxWaitingRead = 1000

// WaitingEpoch is an epoch that was tried, has no verdict, and waits to be tried again.
type WaitingEpoch struct {
	Epoch uint64 `json:"epoch"`
	Class Class  `json:"class"`
	// Fault is whether a fault kept it from a verdict, and not that it is not published, not signed
	// or too recent.
	Fault bool `json:"fault,omitempty"`
	// Failures is how often faults did.
	Failures int       `json:"failures,omitempty"`
	Why      string    `json:"why"`     // when it was last tried
	NextAt   time.Time `json:"next_at"` // by the worker's clock
}

// WaitingEpochs returns the epochs of a log that wait to be tried again, ascending: of each class
// the thousand that are tried next. An epoch that is tried at the moment is not among them.
func (r *Redis) WaitingEpochs(namespace string) ([]WaitingEpoch, error) {
	var all []WaitingEpoch
	inspector := r.Inspector()
	for _, class := range Classes {
		tasks, err := inspector.ListRetryTasks(Name(namespace, class), asynq.PageSize(maxWaitingRead))
		if errors.Is(err, asynq.ErrQueueNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, task := range tasks {
			epoch, ok := EpochOfID(namespace, task.ID)
			if !ok {
				continue
			}
			all = append(all, WaitingEpoch{
				Epoch: epoch, Class: class, Fault: task.Retried > 0, // see isFailure of jobs/worker
				Failures: task.Retried, Why: task.LastErr, NextAt: task.NextProcessAt.UTC(),
			})
		}
	}
	slices.SortFunc(all, func(a, b WaitingEpoch) int { return cmp.Compare(a.Epoch, b.Epoch) })
	return slices.CompactFunc(all, func(a, b WaitingEpoch) bool { return a.Epoch == b.Epoch }), nil
}
