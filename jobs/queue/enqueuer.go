package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
	"golang.org/x/sync/errgroup"
)

const (
	// enqueueWorkers share one client, which sends what they have to say in common round trips.
	// Beside a plain client and its many connections that is four to six times as fast; more than
	// this many gain nothing.
	enqueueWorkers = 128
	// maxGenerations bounds how many blocked IDs of one epoch are stepped over.
	maxGenerations = 16
	progressEvery  = 200 * time.Millisecond
)

// Enqueuer puts epochs on a namespace's queue.
type Enqueuer struct {
	Redis     *Redis
	Namespace string
	Class     Class // zero value: Backfill
	// Judged, if not nil, calls visit with the runs of epochs from from to to that have a verdict,
	// in order. They are left out.
	Judged func(ctx context.Context, from, to uint64, visit func(from, to uint64) error) error
	// Window is how many epochs of a range without a verdict may be on the queue at once, counted
	// from the beginning of the range. 0 means all. Who enqueues the same range again and again
	// with a window brings it to an end, and keeps Redis small meanwhile.
	Window uint64
}

// errWindowFull ends the search for epochs to enqueue.
var errWindowFull = errors.New("the window is full")

// EnqueueCounts says what became of the epochs of a range.
type EnqueueCounts struct {
	Enqueued uint64 `json:"enqueued"` // put on the queue
	// were on the queue, waiting, running or to be retried
	AlreadyQueued uint64 `json:"already_queued"`
	AlreadyJudged uint64 `json:"already_judged"` // have a verdict
	// had been given up or lost by the queue, and are on it again
	Revived uint64 `json:"revived"`
	// Next is the first epoch that the window had no room for. 0: it had room for all.
	Next uint64 `json:"next,omitempty"`
}

// Total is how many epochs were looked at, up to Next if that is not 0.
func (c EnqueueCounts) Total() uint64 {
	return c.Enqueued + c.AlreadyQueued + c.AlreadyJudged + c.Revived
}

type tally struct{ enqueued, alreadyQueued, alreadyJudged, revived, next atomic.Uint64 }

func (t *tally) counts() EnqueueCounts {
	return EnqueueCounts{t.enqueued.Load(), t.alreadyQueued.Load(), t.alreadyJudged.Load(), t.revived.Load(), t.next.Load()}
}

// Enqueue puts every epoch from from to to, both included, on the queue unless it has a verdict or
// is there already. It may be repeated, and run beside others, at any time. progress, if not nil,
// is called now and then with the counts so far, by one goroutine at a time and not after Enqueue
// has returned. With an error come the counts up to it.
//
// An epoch's task ID is always the same, so that Redis refuses a second task. Where the ID is held
// by a task that was archived, or that Redis lost in part so that it will never run, the epoch is
// enqueued anew: the archived task is deleted, a lost one stepped over with another ID (ID~1, ID~2,
// …), the same for every enqueuer. A task that a wrong clock has put off for hours is run now.
func (e *Enqueuer) Enqueue(ctx context.Context, from, to uint64, progress func(EnqueueCounts)) (EnqueueCounts, error) {
	var t tally
	if err := epochset.CheckRange(from, to); err != nil {
		return t.counts(), err
	}
	if err := verdict.CheckNamespace(e.Namespace); err != nil {
		return t.counts(), err
	}
	if progress != nil {
		defer wait.Report(progressEvery, func() { progress(t.counts()) })()
	}
	err := e.enqueue(ctx, &t, func(send func(uint64) error) error {
		err := e.unjudged(ctx, from, to, &t, e.upToWindow(&t, send))
		if errors.Is(err, errWindowFull) {
			return nil
		}
		return err
	})
	return t.counts(), err
}

// upToWindow sends as many epochs as the window has room for, and then returns errWindowFull.
func (e *Enqueuer) upToWindow(t *tally, send func(uint64) error) func(uint64) error {
	sent := uint64(0)
	return func(epoch uint64) error {
		if e.Window > 0 && sent == e.Window {
			t.next.Store(epoch)
			return errWindowFull
		}
		sent++
		return send(epoch)
	}
}

// unjudged sends the epochs from from to to that have no verdict, in order.
func (e *Enqueuer) unjudged(ctx context.Context, from, to uint64, t *tally, send func(uint64) error) error {
	next := from
	sendBefore := func(end uint64) error {
		for ; next < end; next++ {
			if err := send(next); err != nil {
				return err
			}
		}
		return nil
	}
	if e.Judged != nil {
		err := e.Judged(ctx, from, to, func(first, last uint64) error {
			if err := sendBefore(first); err != nil {
				return err
			}
			t.alreadyJudged.Add(last - first + 1)
			next = last + 1
			return nil
		})
		if err != nil {
			return err
		}
	}
	return sendBefore(to + 1)
}

// EnqueueEach puts the epochs of a log that produce sends on a queue, unless they are on one
// already, many at a time. produce is called once what is on the queues is known: what leaves them
// later is not put there again.
func (r *Redis) EnqueueEach(ctx context.Context, namespace string, class Class, produce func(send func(epoch uint64) error) error) (EnqueueCounts, error) {
	var t tally
	e := &Enqueuer{Redis: r, Namespace: namespace, Class: class}
	err := e.enqueue(ctx, &t, produce)
	return t.counts(), err
}

// EnqueueReaudits puts epochs of a log that have a verdict on a queue to be audited once more,
// unless they are on it for that already. It is for a few at a time: each takes a round trip.
func (r *Redis) EnqueueReaudits(ctx context.Context, namespace string, class Class, epochs []uint64) error {
	q := enqueuing{
		Enqueuer: &Enqueuer{Redis: r, Namespace: namespace, Class: class}, tally: &tally{}, queue: Name(namespace, class), scanned: time.Now(), reaudit: true,
		client: asynq.NewClientFromRedisClient(r.Client),
	}
	for _, epoch := range epochs {
		if err := q.put(ctx, epoch); err != nil {
			return fmt.Errorf("enqueuing epoch %d to be audited again: %w", epoch, r.Explain(err))
		}
	}
	return nil
}

func (e *Enqueuer) enqueue(ctx context.Context, t *tally, produce func(send func(uint64) error) error) error {
	q := enqueuing{Enqueuer: e, tally: t, queue: Name(e.Namespace, e.class()), scanned: time.Now()}
	for _, c := range Classes {
		if err := ReadQueued(ctx, e.Redis.Client, e.Namespace, Name(e.Namespace, c), &q.queued); err != nil {
			return err
		}
	}
	pipelined, err := e.Redis.Client.AutoPipeline()
	if err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	// A new client makes the queue known again, should Redis have lost its data since the last one.
	q.client = asynq.NewClientFromRedisClient(pipelined)

	group, ctx := errgroup.WithContext(ctx)
	epochs := make(chan uint64, enqueueWorkers)
	group.Go(func() error {
		defer close(epochs)
		return produce(func(epoch uint64) error {
			if q.queued.Has(epoch) {
				t.alreadyQueued.Add(1)
				return nil
			}
			select {
			case epochs <- epoch:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	for range enqueueWorkers {
		group.Go(func() error {
			for epoch := range epochs {
				if err := q.put(ctx, epoch); err != nil {
					return fmt.Errorf("enqueuing epoch %d: %w", epoch, e.Redis.Explain(err))
				}
			}
			return nil
		})
	}
	return group.Wait()
}

func (e *Enqueuer) class() Class {
	if e.Class == "" {
		return Backfill
	}
	return e.Class
}

// enqueuing is one call of Enqueue.
type enqueuing struct {
	*Enqueuer
	*tally
	client  *asynq.Client
	queue   string
	queued  epochset.Set // what was on the queue
	scanned time.Time    // when it was read
	reaudit bool         // the epochs are to be audited again
}

// put enqueues one epoch under the first of its IDs that is free.
func (q *enqueuing) put(ctx context.Context, epoch uint64) error {
	task := Task{Namespace: q.Namespace, Epoch: epoch, Reaudit: q.reaudit}
	payload, err := json.Marshal(task)
	if err != nil {
		return err
	}
	revived, ranBefore := false, false
	for generation := 0; generation < maxGenerations; {
		id := task.generation(generation)
		_, err := q.client.EnqueueContext(ctx, asynq.NewTask(TypeAudit, payload),
			asynq.TaskID(id), asynq.Queue(q.queue), asynq.MaxRetry(maxRetry), asynq.Timeout(TaskTimeout))
		switch {
		case err == nil && (revived || generation > 0):
			q.revived.Add(1)
			return nil
		case err == nil:
			q.enqueued.Add(1)
			return nil
		case !errors.Is(err, asynq.ErrTaskIDConflict):
			return err
		}
		switch held, err := condition(ctx, q.Redis.Client, q.queue, id, q.scanned); {
		case err != nil:
			return err
		case held == taskAlive:
			q.alreadyQueued.Add(1)
			return nil
		case held == taskFinished:
			// A crash between the two leaves the epoch off the queue: whoever enqueues next finds
			// it so.
			err := q.Redis.Inspector().DeleteTask(q.queue, id)
			if err != nil && !errors.Is(err, asynq.ErrTaskNotFound) {
				return err
			}
			revived = true
		case held == taskPutOff:
			err := q.Redis.Inspector().RunTask(q.queue, id)
			if err == nil {
				q.revived.Add(1)
				return nil
			}
			if ranBefore { // else someone else has most likely run it first, for which asynq has no name
				return err
			}
			ranBefore = true
		case held == taskDead:
			// In flight without a lease: nobody has it.
			back, err := q.Redis.revive(ctx, q.queue, id, "")
			switch {
			case err != nil:
				return err
			case back:
				q.revived.Add(1)
				return nil
			}
			generation++
		} // taskGone: the ID is free now
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return fmt.Errorf("redis has lost %d tasks of this epoch in part; delete the keys asynq:{%s}:t:%s*", maxGenerations, q.queue, task.ID())
}
