package verdictcheck

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

// Checker raises what new verdicts show.
type Checker struct {
	Namespace string
	Store     *auditstore.Store
	Incidents incident.Recorder
}

// Check reads those of the judged epochs that are not among the checked ones, and adds them. It
// raises an alert for each that was rejected, in case a worker crashed before it could. For each
// that is verified but contradicts the verified one before or after it, or goes back to an earlier
// one, it puts evidence on record and then raises an alert: after a crash between the two, whoever
// comes next does both. Both are there once, however often they are found. A verdict that cannot be
// read is an error, and keeps none but itself from being checked.
func (c Checker) Check(ctx context.Context, judged []uint64, checked *epochset.Set) error {
	fresh := slices.DeleteFunc(judged, checked.Has)
	if len(fresh) == 0 {
		return nil
	}
	verdicts, err := report.ReadAround(ctx, c.Store, c.Namespace, fresh)
	if err != nil {
		return err
	}
	var errs []error
	if err := enterAll(ctx, c.Store, verdicts); err != nil {
		return err
	}
	if err := c.findRollbacks(ctx, fresh, verdicts); err != nil {
		return err
	}
	for _, epoch := range fresh {
		if _, readable := verdicts[epoch]; !readable {
			if _, err := c.Store.Verdict(ctx, c.Namespace, epoch); err != nil && !errors.Is(err, auditstore.ErrNotFound) {
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

// findRollbacks looks, at each verified epoch that is not known to continue the one before it, for
// an earlier epoch that it continues. Until the index of digests is whole that may take the seals
// of the whole log, so that an epoch behind one without a verdict is left for later.
func (c Checker) findRollbacks(ctx context.Context, fresh []uint64, verdicts map[uint64]verdict.Verdict) error {
	starts, behindGaps := map[uint64]verdict.Verdict{}, map[uint64]verdict.Verdict{}
	for _, epoch := range fresh {
		for _, at := range []uint64{epoch, epoch + 1} {
			before, v := verdicts[at-1], verdicts[at]
			switch {
			case v.Outcome != verdict.Verified || verdict.Between(before, v) == verdict.Linked:
			case before.Epoch == 0:
				behindGaps[at] = v
			default:
				starts[at] = v
			}
		}
	}
	if len(behindGaps) > 0 {
		indexed, err := c.Store.IndexedShards(ctx, c.Namespace)
		if err != nil {
			return err
		}
		if indexed >= auditstore.AllShards {
			maps.Copy(starts, behindGaps)
		}
	}
	return c.RecordRollbacks(ctx, starts)
}

// RecordRollbacks puts on record which of some verified epochs go back to an earlier one than the
// last that is verified before them, and which continue nothing that is known: islands.
func (c Checker) RecordRollbacks(ctx context.Context, at map[uint64]verdict.Verdict) error {
	wanted := make(map[uint64]string, len(at))
	for epoch, v := range at {
		wanted[epoch] = v.PreviousDigest
	}
	ends, unknown, err := report.FindRollbacks(ctx, c.Store, c.Namespace, wanted)
	if err != nil {
		return err
	}
	begins := map[uint64]string{}
	for _, epoch := range unknown {
		begins[epoch] = wanted[epoch]
	}
	islands, err := report.FindIslands(ctx, c.Store, c.Namespace, begins)
	if err != nil {
		return err
	}
	for epoch, before := range islands {
		if err := c.Incidents.RecordBrokenChain(ctx, verdict.Island, before, at[epoch]); err != nil {
			return fmt.Errorf("the island at epoch %d: %w", epoch, err)
		}
	}
	for epoch, end := range ends {
		if err := c.Incidents.RecordBrokenChain(ctx, verdict.Rollback, end, at[epoch]); err != nil {
			return fmt.Errorf("the rollback at epoch %d: %w", epoch, err)
		}
	}
	return nil
}

// checkOne is Check of one epoch, given its verdict and those on its neighbours.
func (c Checker) checkOne(ctx context.Context, verdicts map[uint64]verdict.Verdict, epoch uint64) error {
	v := verdicts[epoch]
	if v.Outcome == verdict.Rejected {
		if err := c.Incidents.Raise(ctx, alert.OfVerdict(v)); err != nil {
			return err
		}
	}
	for _, pair := range [][2]verdict.Verdict{{verdicts[epoch-1], v}, {v, verdicts[epoch+1]}} {
		for i := range pair { // what does not fit may have been overruled
			if verdict.Between(pair[0], pair[1]) != verdict.Broken {
				break
			}
			newest, err := c.Store.Newest(ctx, pair[i])
			if err != nil {
				return err
			}
			pair[i] = newest
		}
		if verdict.Between(pair[0], pair[1]) != verdict.Broken {
			continue
		}
		if err := c.Incidents.RecordBrokenChain(ctx, verdict.BrokenChain, pair[0], pair[1]); err != nil {
			return fmt.Errorf("the contradiction of epoch %d: %w", pair[1].Epoch, err)
		}
	}
	return nil
}
