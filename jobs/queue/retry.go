package queue

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
	"golang.org/x/sync/errgroup"
)

// retryWorkers is how many epochs are put in line at once. Each takes a look into the audit store
// first.
const retryWorkers = 32

// RetryCounts says what became of epochs that were to be tried again.
type RetryCounts struct {
	// waited for their time, or had been given up, and are next in line now
	Retried       uint64 `json:"retried"`
	AlreadyQueued uint64 `json:"already_queued"` // were in line or running
	AlreadyJudged uint64 `json:"already_judged"` // have a verdict
	NotQueued     uint64 `json:"not_queued"`     // are not on the queue: enqueue them
}

// Retry puts epochs that wait to be tried again, or that were given up, in line now, whatever their
// class: those given, or all when none are. Epochs of which judged says that they have a verdict
// stay where they are. To repeat it, or to run it beside workers, does no harm.
//
// It holds the task IDs of all epochs that wait in memory, some 60 bytes each.
func Retry(ctx context.Context, r *Redis, namespace string, epochs []uint64, judged func(ctx context.Context, epoch uint64) (bool, error)) (RetryCounts, error) {
	if err := verdict.CheckNamespace(namespace); err != nil {
		return RetryCounts{}, err
	}
	q := retrying{redis: r, judged: judged, namespace: namespace, epochs: slices.Compact(slices.Sorted(slices.Values(epochs)))}
	err := q.run(ctx)
	return RetryCounts{q.retried.Load(), q.alreadyQueued.Load(), q.alreadyJudged.Load(), q.notQueued.Load()}, err
}

// retrying is one call of Retry.
type retrying struct {
	redis     *Redis
	judged    func(ctx context.Context, epoch uint64) (bool, error)
	namespace string
	epochs    []uint64 // ascending; none: all that wait

	retried, alreadyQueued, alreadyJudged, notQueued atomic.Uint64
}

func (q *retrying) run(ctx context.Context) error {
	var waiting epochset.Set
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(retryWorkers)
	// All that wait are read before any is moved: an epoch that fails again at once waits again,
	// and would be met for ever.
	ids := map[Class][]string{}
	for _, c := range Classes {
		var err error
		if ids[c], err = q.waiting(ctx, Name(q.namespace, c)); err != nil {
			return err
		}
	}
	for _, c := range Classes {
		for _, id := range ids[c] {
			epoch, ok := EpochOfID(q.namespace, id)
			if !ok || !q.wanted(epoch) {
				continue
			}
			waiting.Add(epoch)
			group.Go(func() error { return q.retry(groupCtx, Name(q.namespace, c), id, epoch) })
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return q.account(ctx, &waiting)
}

func (q *retrying) wanted(epoch uint64) bool {
	_, found := slices.BinarySearch(q.epochs, epoch)
	return found || len(q.epochs) == 0
}

// waiting returns the IDs of the tasks that wait for their time or were given up.
func (q *retrying) waiting(ctx context.Context, queue string) ([]string, error) {
	var all []string
	for _, state := range []string{"retry", "scheduled", "archived"} {
		for start := int64(0); ; start += scanPage {
			ids, err := q.redis.Client.ZRange(ctx, Key(queue, state), start, start+scanPage-1).Result()
			if err != nil {
				return nil, fmt.Errorf("reading queue %s: %w", queue, err)
			}
			all = append(all, ids...)
			if len(ids) < scanPage {
				break
			}
		}
	}
	// A task that changed its state meanwhile is there twice.
	slices.Sort(all)
	return slices.Compact(all), nil
}

// retry puts one task in line.
func (q *retrying) retry(ctx context.Context, queue, id string, epoch uint64) error {
	judged, err := q.judged(ctx, epoch)
	switch {
	case err != nil:
		return err
	case judged:
		q.alreadyJudged.Add(1)
		return nil
	}
	refused := q.redis.Inspector().RunTask(queue, id)
	if refused == nil {
		q.retried.Add(1)
		return nil
	}
	// asynq refuses with an error that has no name if the task is in line or running by now, so
	// what it is in is looked up.
	switch held, err := condition(ctx, q.redis.Client, queue, id, time.Now()); {
	case err != nil:
		return err
	case held == taskAlive, held == taskPutOff:
		q.alreadyQueued.Add(1)
	case held == taskGone: // a worker was faster and has judged it, or Redis lost it
		return q.countIdle(ctx, epoch)
	case held == taskDead: // Redis lost it in part, but another ID can stand for the epoch
		q.notQueued.Add(1)
	default:
		return fmt.Errorf("epoch %d: %w", epoch, refused)
	}
	return nil
}

// account says what is with the epochs asked for that did not wait.
func (q *retrying) account(ctx context.Context, waiting *epochset.Set) error {
	var queued epochset.Set
	for _, c := range Classes {
		if len(q.epochs) == 0 {
			return nil
		}
		if err := ReadQueued(ctx, q.redis.Client, q.namespace, Name(q.namespace, c), &queued); err != nil {
			return err
		}
	}
	for _, epoch := range q.epochs {
		if waiting.Has(epoch) {
			continue
		}
		if queued.Has(epoch) {
			q.alreadyQueued.Add(1)
		} else if err := q.countIdle(ctx, epoch); err != nil {
			return err
		}
	}
	return nil
}

// countIdle counts an epoch that is not on the queue: because it has a verdict, or else it should
// be.
func (q *retrying) countIdle(ctx context.Context, epoch uint64) error {
	judged, err := q.judged(ctx, epoch)
	switch {
	case err != nil:
		return err
	case judged:
		q.alreadyJudged.Add(1)
	default:
		q.notQueued.Add(1)
	}
	return nil
}
