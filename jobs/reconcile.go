package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/internal/alert"
)

// reconcile compares the newest epochs with the audit store, puts those without a verdict on the queue and looks at the verdicts
// that are new.
func (f *follower) reconcile(ctx context.Context, now time.Time, head uint64, lasting []alert.Alert) error {
	from := f.recentFrom(head)
	judged, open, unlisted := f.takeStock(ctx, from, head)
	var errs []error
	if len(open) > 0 {
		errs = append(errs, f.enqueue(ctx, Fresh, func() ([][]uint64, error) {
			judged, open, unlisted = f.takeStock(ctx, from, head)
			return [][]uint64{open}, nil
		}))
	}
	if unlisted == nil { // else there is no telling which are open
		errs = append(errs, f.sight(ctx, f.scheduledLog, now, open))
		errs = append(errs, f.tellSkips(ctx, f.scheduledLog, now, open, lasting), f.endSkips(ctx, now, lasting))
		errs = append(errs, f.tellBacklog(ctx, now, lasting), f.tellStuck(ctx, now, lasting))
	}
	errs = append(errs, unlisted)
	return errors.Join(append(errs, f.check(ctx, judged, &f.checked))...)
}

// takeStock lists which epochs of a range have a verdict, and which have none. It costs a listing for each shard; those of one that
// cannot be listed are in neither list.
func (l *scheduledLog) takeStock(ctx context.Context, from, to uint64) (judged, open []uint64, err error) {
	var errs []error
	for shard := from / shardSize; shard <= to/shardSize; shard++ {
		epochs, err := l.Store.Epochs(ctx, l.Namespace, shard)
		if err != nil {
			errs = append(errs, fmt.Errorf("verdicts of %s: %w", l.Namespace, err))
			continue
		}
		first, last := max(from, shard*shardSize), min(to, shard*shardSize+shardSize-1)
		judged = append(judged, within(epochs, first, last)...)
		open = append(open, without(first, last, epochs)...)
	}
	return judged, open, errors.Join(errs...)
}

// within returns the part of ascending epochs that lies between from and to, both included.
func within(epochs []uint64, from, to uint64) []uint64 {
	low, _ := slices.BinarySearch(epochs, from)
	high, found := slices.BinarySearch(epochs, to)
	if found {
		high++
	}
	return epochs[low:max(low, high)]
}

// without returns the epochs from from to to that are not among judged, which is ascending.
func without(from, to uint64, judged []uint64) []uint64 {
	var open []uint64
	for epoch := from; epoch <= to; epoch++ {
		if _, found := slices.BinarySearch(judged, epoch); !found {
			open = append(open, epoch)
		}
	}
	return open
}

// check looks at those of the judged epochs that are not among the checked ones, and adds them. It raises an alert for each that was
// rejected, in case a worker crashed before it could. Of each that is verified but doesn't fit the verified one before or after it,
// it puts evidence on record and then raises an alert: after a crash between the two, whoever looks next does both. Both are there
// once, however often they are found. A verdict that cannot be read is an error, and keeps none but itself from being looked at.
func (l *scheduledLog) check(ctx context.Context, judged []uint64, checked *epochSet) error {
	fresh := slices.DeleteFunc(judged, checked.has)
	if len(fresh) == 0 {
		return nil
	}
	verdicts, err := verdictsAround(ctx, l.Store, l.Namespace, fresh, blobstore.ErrNotFound, blobstore.ErrCorrupt, blobstore.ErrNewerSchema)
	if err != nil {
		return err
	}
	var errs []error
	for _, epoch := range fresh {
		if _, readable := verdicts[epoch]; !readable {
			if _, err := l.Store.Verdict(ctx, l.Namespace, epoch); err != nil && !errors.Is(err, blobstore.ErrNotFound) {
				errs = append(errs, err)
			}
			continue // to the next round, in which it may be gone
		}
		if err := l.checkOne(ctx, verdicts, epoch); err != nil {
			return errors.Join(append(errs, err)...)
		}
		checked.add(epoch)
	}
	return errors.Join(errs...)
}

// checkOne is check of an epoch, given its verdict and those on its neighbours.
func (l *scheduledLog) checkOne(ctx context.Context, verdicts map[uint64]blobstore.Verdict, epoch uint64) error {
	v := verdicts[epoch]
	if v.Outcome == blobstore.Rejected {
		if err := l.raise(ctx, alert.OfVerdict(v)); err != nil {
			return err
		}
	}
	for _, pair := range [][2]blobstore.Verdict{{verdicts[epoch-1], v}, {v, verdicts[epoch+1]}} {
		if chained(pair[0], pair[1]) {
			continue
		}
		if err := l.tellBroken(ctx, BrokenChain, pair[0], pair[1]); err != nil {
			return fmt.Errorf("the contradiction of epoch %d: %w", pair[1].Epoch, err)
		}
	}
	return nil
}
