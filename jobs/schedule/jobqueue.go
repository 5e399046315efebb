package schedule

import (
	"context"
	"errors"

	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/rs/zerolog"
)

// Queue is where a scheduler puts epochs: a queue.Redis or an inprocess.Queue, whose methods have
// the promises.
type Queue interface {
	EnqueueEach(ctx context.Context, namespace string, class queue.Class, produce func(send func(epoch uint64) error) error) (queue.EnqueueCounts, error)
	EnqueueReaudits(ctx context.Context, namespace string, class queue.Class, epochs []uint64) error
	Remove(ctx context.Context, namespace string, unwanted func(epoch uint64) bool) error
	Waiting(ctx context.Context, namespace string, class queue.Class) (int64, error)
	LastAttempt(namespace string, epoch uint64) (fault bool, why error)
	String() string
}

// sharedQueue is one that other processes use, too: they may ask who is alive, and be killed.
type sharedQueue interface {
	AnnounceScheduler(ctx context.Context, namespaces []string)
	ReviveAbandoned(ctx context.Context, namespaces []string, log zerolog.Logger)
}

// jobQueue is a log's queues.
type jobQueue struct {
	Queue
	namespace string
	log       zerolog.Logger
}

// enqueue puts the epochs that find returns, those of several lists in turn, on a queue unless they
// are on one. It calls find once it knows what is on the queues: an epoch that leaves them
// meanwhile has its verdict by then.
func (q jobQueue) enqueue(ctx context.Context, class queue.Class, find func() ([][]uint64, error)) error {
	// kept from the enqueuer, which would drop the epochs that it is about to put on the queue
	var found error
	c, err := q.EnqueueEach(ctx, q.namespace, class, func(send func(uint64) error) error {
		var lists [][]uint64
		lists, found = find()
		return inTurn(lists, send)
	})
	if c.Enqueued+c.Revived > 0 {
		q.log.Info().Str("class", string(class)).Uint64("enqueued", c.Enqueued).Uint64("revived", c.Revived).
			Msg("epochs enqueued")
	}
	return errors.Join(found, err)
}

// reaudit returns a function that puts epochs on a queue to be audited once more.
func (q jobQueue) reaudit(class queue.Class) func(context.Context, []uint64) error {
	return func(ctx context.Context, epochs []uint64) error {
		return q.EnqueueReaudits(ctx, q.namespace, class, epochs)
	}
}
