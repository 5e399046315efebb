package jobs

import (
	"context"
	"errors"

	"github.com/ktaudit/ktaudit/blobstore"
)

// Enqueuer puts epochs on a namespace's queue.
type Enqueuer struct {
	Redis     *Redis
	Namespace string
	Class     Class            // zero value: Backfill
	Store     *blobstore.Store // epochs with a verdict in it are left out; nil: none are
}

// Counts says what became of the epochs of a range. Their sum is how many were looked at.
type Counts struct {
	Enqueued      uint64 `json:"enqueued"`       // put on the queue
	AlreadyQueued uint64 `json:"already_queued"` // were on the queue, waiting, running or to be retried
	AlreadyJudged uint64 `json:"already_judged"` // have a verdict
	Revived       uint64 `json:"revived"`        // were given up or lost by the queue, and are on it again
}

// Total is how many epochs were looked at.
func (c Counts) Total() uint64 { return c.Enqueued + c.AlreadyQueued + c.AlreadyJudged + c.Revived }

// Enqueue puts every epoch from from to to, both included, on the queue unless it has a verdict or is there already. It may
// be repeated and run beside others at any time. progress, if not nil, is called now and then with the counts so far, from one
// goroutine at a time.
func (e *Enqueuer) Enqueue(ctx context.Context, from, to uint64, progress func(Counts)) (Counts, error) {
	return Counts{}, errors.New("not built yet")
}
