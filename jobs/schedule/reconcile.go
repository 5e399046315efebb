package schedule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

// reconcile compares the newest epochs with the audit store, puts those without a verdict on the queue and looks at the verdicts
// that are new.
func (f *follower) reconcile(ctx context.Context, now time.Time, head uint64, lasting []alert.Alert) error {
	from := f.recentFrom(head)
	judged, open, unlisted := report.JudgedAndOpen(ctx, f.Store, f.Namespace, from, head)
	var errs []error
	if len(open) > 0 {
		errs = append(errs, f.enqueue(ctx, queue.Fresh, func() ([][]uint64, error) {
			judged, open, unlisted = report.JudgedAndOpen(ctx, f.Store, f.Namespace, from, head)
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

// check looks at those of the judged epochs that are not among the checked ones, and adds them. It raises an alert for each that was
// rejected, in case a worker crashed before it could. Of each that is verified but doesn't fit the verified one before or after it,
// it puts evidence on record and then raises an alert: after a crash between the two, whoever looks next does both. Both are there
// once, however often they are found. A verdict that cannot be read is an error, and keeps none but itself from being looked at.
func (l *scheduledLog) check(ctx context.Context, judged []uint64, checked *epochset.Set) error {
	fresh := slices.DeleteFunc(judged, checked.Has)
	if len(fresh) == 0 {
		return nil
	}
	verdicts, err := report.ReadAround(ctx, l.Store, l.Namespace, fresh, auditstore.ErrNotFound, auditstore.ErrCorrupt, verdict.ErrNewerSchema)
	if err != nil {
		return err
	}
	var errs []error
	for _, epoch := range fresh {
		if _, readable := verdicts[epoch]; !readable {
			if _, err := l.Store.Verdict(ctx, l.Namespace, epoch); err != nil && !errors.Is(err, auditstore.ErrNotFound) {
				errs = append(errs, err)
			}
			continue // to the next round, in which it may be gone
		}
		if err := l.checkOne(ctx, verdicts, epoch); err != nil {
			return errors.Join(append(errs, err)...)
		}
		checked.Add(epoch)
	}
	return errors.Join(errs...)
}

// checkOne is check of an epoch, given its verdict and those on its neighbours.
func (l *scheduledLog) checkOne(ctx context.Context, verdicts map[uint64]verdict.Verdict, epoch uint64) error {
	v := verdicts[epoch]
	if v.Outcome == verdict.Rejected {
		if err := l.incidents.Raise(ctx, alert.OfVerdict(v)); err != nil {
			return err
		}
	}
	for _, pair := range [][2]verdict.Verdict{{verdicts[epoch-1], v}, {v, verdicts[epoch+1]}} {
		if verdict.Between(pair[0], pair[1]) != verdict.Broken {
			continue
		}
		if err := l.incidents.RecordBrokenChain(ctx, verdict.BrokenChain, pair[0], pair[1]); err != nil {
			return fmt.Errorf("the contradiction of epoch %d: %w", pair[1].Epoch, err)
		}
	}
	return nil
}
