package schedule

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
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
		return inTurn(lists, send)
	})
	if c.Enqueued+c.Revived > 0 {
		q.log.Info().Str("class", string(class)).Uint64("enqueued", c.Enqueued).Uint64("revived", c.Revived).
			Msg("epochs enqueued")
	}
	return errors.Join(found, err)
}

// turn is how many epochs one list puts on the queue before the next one's turn comes.
const turn = 100

// inTurn sends the epochs of several lists, some of each at a time.
func inTurn(lists [][]uint64, send func(uint64) error) error {
	for sent := true; sent; {
		sent = false
		for i, list := range lists {
			n := min(turn, len(list))
			for _, epoch := range list[:n] {
				if err := send(epoch); err != nil {
					return err
				}
			}
			lists[i] = list[n:]
			sent = sent || n > 0
		}
	}
	return nil
}

// verdictCheck raises what new verdicts show.
type verdictCheck struct {
	namespace string
	store     *auditstore.Store
	incidents incident.Recorder
}

// check reads those of the judged epochs that are not among the checked ones, and adds them. It
// raises an alert for each that was rejected, in case a worker crashed before it could. For each
// that is verified but contradicts the verified one before or after it, it puts evidence on record
// and then raises an alert: after a crash between the two, whoever comes next does both. Both are
// there once, however often they are found. A verdict that cannot be read is an error, and keeps
// none but itself from being checked.
func (c verdictCheck) check(ctx context.Context, judged []uint64, checked *epochset.Set) error {
	fresh := slices.DeleteFunc(judged, checked.Has)
	if len(fresh) == 0 {
		return nil
	}
	verdicts, err := report.ReadAround(ctx, c.store, c.namespace, fresh)
	if err != nil {
		return err
	}
	var errs []error
	if err := c.findRollbacks(ctx, fresh, verdicts); err != nil {
		return err
	}
	for _, epoch := range fresh {
		if _, readable := verdicts[epoch]; !readable {
			if _, err := c.store.Verdict(ctx, c.namespace, epoch); err != nil && !errors.Is(err, auditstore.ErrNotFound) {
				errs = append(errs, err)
			}
			continue // to the next round, in which it may be gone
		}
		if err := c.checkOne(ctx, verdicts, epoch); err != nil {
			return errors.Join(append(errs, err)...)
		}
		checked.Add(epoch)
	}
	return errors.Join(errs...)
}

// findRollbacks looks, at each verified epoch that comes after a rejected one or does not continue
// the verified one before it, for an earlier epoch that it continues, all of them in one search.
func (c verdictCheck) findRollbacks(ctx context.Context, fresh []uint64, verdicts map[uint64]verdict.Verdict) error {
	wanted := map[uint64]string{}
	for _, epoch := range fresh {
		for _, pair := range [][2]verdict.Verdict{{verdicts[epoch-1], verdicts[epoch]}, {verdicts[epoch], verdicts[epoch+1]}} {
			loose := pair[0].Outcome == verdict.Rejected || verdict.Between(pair[0], pair[1]) == verdict.Broken
			if loose && pair[1].Outcome == verdict.Verified {
				wanted[pair[1].Epoch] = pair[1].PreviousDigest
			}
		}
	}
	ends, err := report.FindEnds(ctx, c.store, c.namespace, wanted)
	if err != nil {
		return err
	}
	for epoch, end := range ends {
		if err := c.incidents.RecordBrokenChain(ctx, verdict.Rollback, end, verdicts[epoch]); err != nil {
			return fmt.Errorf("the rollback at epoch %d: %w", epoch, err)
		}
	}
	return nil
}

// checkOne is check of one epoch, given its verdict and those on its neighbours.
func (c verdictCheck) checkOne(ctx context.Context, verdicts map[uint64]verdict.Verdict, epoch uint64) error {
	v := verdicts[epoch]
	if v.Outcome == verdict.Rejected {
		if err := c.incidents.Raise(ctx, alert.OfVerdict(v)); err != nil {
			return err
		}
	}
	for _, pair := range [][2]verdict.Verdict{{verdicts[epoch-1], v}, {v, verdicts[epoch+1]}} {
		if verdict.Between(pair[0], pair[1]) != verdict.Broken {
			continue
		}
		if err := c.incidents.RecordBrokenChain(ctx, verdict.BrokenChain, pair[0], pair[1]); err != nil {
			return fmt.Errorf("the contradiction of epoch %d: %w", pair[1].Epoch, err)
		}
	}
	return nil
}
