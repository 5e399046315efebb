package schedule

import (
	"context"
	"errors"

	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/rs/zerolog"
)

// jobQueue is a log's queues.
type jobQueue struct {
	redis     *queue.Redis
	namespace string
	log       zerolog.Logger
}

// enqueue puts the epochs that find returns, those of several lists in turn, on a queue unless they
// are on one. It calls find once it knows what is on the queues: an epoch that leaves them
// meanwhile has its verdict by then.
func (q jobQueue) enqueue(ctx context.Context, class queue.Class, find func() ([][]uint64, error)) error {
	enqueuer := queue.Enqueuer{Redis: q.redis, Namespace: q.namespace, Class: class}
	// kept from the enqueuer, which would drop the epochs that it is about to put on the queue
	var found error
	c, err := enqueuer.EnqueueEach(ctx, func(send func(uint64) error) error {
		var lists [][]uint64
		lists, found = find()
		return queue.InTurn(lists, send)
	})
	if c.Enqueued+c.Revived > 0 {
		q.log.Info().Str("class", string(class)).Uint64("enqueued", c.Enqueued).Uint64("revived", c.Revived).
			Msg("epochs enqueued")
	}
	return errors.Join(found, err)
}

// reaudit returns a function that puts epochs on a queue to be audited once more.
func (q jobQueue) reaudit(class queue.Class) func(context.Context, []uint64) error {
	enqueuer := queue.Enqueuer{Redis: q.redis, Namespace: q.namespace, Class: class}
	return enqueuer.EnqueueReaudits
}
