package recheck

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/jobs/frontier"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

const (
	// maxWithdrawn bounds how many alerts on batches that are gone are open at the same time, and
	// acknowledged by nobody.
	maxWithdrawn = 100
	// In a round so many of them are looked at for their end, at so many epochs each.
	maxResolved, maxResolvedEpochs = 16, 4
	// maxCollected is how many epochs of a round evidence is collected on: a log that cleans up may
	// take away thousands.
	maxCollected = 4
)

// miss notes that a fresh answer does not have an epoch any more. Absence is no evidence: it is
// gone once several answers over some time did not have it.
func (r *round) miss(epoch uint64, since time.Time) error {
	if r.isWithdrawn(epoch) {
		r.conclude(epoch, gone)
		return nil
	}
	o, err := r.keepOpen(epoch, unknown, since)
	if err != nil {
		return err
	}
	if o.absence.Add(r.now); o.absence.IsSkip(r.now, 2*r.period()) {
		r.gone = append(r.gone, epoch)
	}
	return nil
}

// readConditions reads which alerts on epochs that are gone, or not known, are open.
func (r *round) readConditions(ctx context.Context) error {
	alerts, err := r.config.Incidents.Outbox().Unresolved(ctx, r.config.Namespace, r.notices)
	if err != nil && !errors.Is(err, auditstore.ErrCorrupt) {
		return err
	}
	r.withdrawn, r.overdue = nil, nil
	for _, a := range alerts {
		switch a.Kind {
		case alert.Withdrawn:
			r.withdrawn = append(r.withdrawn, a)
		case alert.RecheckOverdue:
			r.overdue = append(r.overdue, a)
		}
	}
	return err
}

// isWithdrawn reports whether an alert is open that says that an epoch is gone.
func (r *round) isWithdrawn(epoch uint64) bool {
	return slices.ContainsFunc(r.withdrawn, func(a alert.Alert) bool {
		first, last := withdrawnEpochs(a)
		return first <= epoch && epoch <= last
	})
}

// raiseWithdrawn raises an alert on each run of epochs that are gone, if the log still has others:
// where all are gone, it is the log that is.
func (r *round) raiseWithdrawn(ctx context.Context) error {
	if len(r.gone) == 0 {
		return nil
	}
	slices.Sort(r.gone)
	r.gone = slices.Compact(r.gone)
	if others, err := r.hasOthers(ctx); err != nil || !others {
		return err
	}
	if err := r.collectWithdrawn(ctx); err != nil {
		return err
	}
	// Another scheduler may have told of them meanwhile, in another hour or as another run.
	err := r.readConditions(ctx)
	if err != nil && !errors.Is(err, auditstore.ErrCorrupt) {
		return err
	}
	untold := slices.DeleteFunc(slices.Clone(r.gone), r.isWithdrawn)
	unacknowledged, err := r.unacknowledged(ctx)
	if err != nil {
		return err
	}
	for i, run := range epochset.Runs(untold) {
		if unacknowledged+i >= maxWithdrawn {
			r.config.Logger.Error().Uint64("from", run.From).Uint64("to", run.To).
				Msg("more batches that were judged are gone from the log than there are alerts on")
			continue
		}
		a := alert.OfWithdrawn(r.config.Namespace, run.From, run.To, r.now)
		if err := r.config.Incidents.Raise(ctx, a); err != nil {
			return err
		}
		r.withdrawn = append(r.withdrawn, a)
	}
	// What is not told stays open: there are too many, or it had come back within this hour.
	if err := r.readConditions(ctx); err != nil && !errors.Is(err, auditstore.ErrCorrupt) {
		return err
	}
	for _, epoch := range r.gone {
		if r.isWithdrawn(epoch) {
			r.conclude(epoch, gone)
		}
	}
	return nil
}

// unacknowledged counts the alerts on epochs that are gone which nobody has acknowledged, if there
// are many. Those that somebody knows of hide no further ones.
func (r *round) unacknowledged(ctx context.Context) (int, error) {
	if len(r.withdrawn) < maxWithdrawn {
		return len(r.withdrawn), nil
	}
	list, err := incident.ReadList(ctx, r.config.Store, r.config.Namespace)
	return list.Unacknowledged()[alert.Withdrawn], err
}

// collectWithdrawn puts on record what can be had on the first few epochs that are gone: how the
// log answers now, and their signed digests. It also keeps retention from their archived batches,
// which nobody else may have any more.
func (r *round) collectWithdrawn(ctx context.Context) error {
	if r.config.Incidents.Collect == nil {
		return nil
	}
	for _, epoch := range r.gone[:min(len(r.gone), maxCollected)] {
		v, err := r.config.Store.Verdict(ctx, r.config.Namespace, epoch)
		if err != nil {
			return err
		}
		r.config.Incidents.Collect(ctx, incident.Concern{
			Epoch: epoch, Reason: verdict.Reason(alert.Withdrawn), Detail: "the log does not list the batch any more",
			Batches: []incident.Batch{incident.BatchOf(v)},
		})
	}
	return nil
}

// hasOthers reports whether the log has an epoch that is not gone: its newest, or a neighbour of
// those that are.
func (r *round) hasOthers(ctx context.Context) (bool, error) {
	for _, epoch := range []uint64{r.config.Newest(), r.gone[len(r.gone)-1] + 1, r.gone[0] - 1} {
		if epoch == 0 || slices.Contains(r.gone, epoch) {
			continue
		}
		answer, err := frontier.Locate(ctx, r.config.Fetcher, epoch)
		if err != nil || answer.Published {
			return err == nil, err
		}
	}
	return false, nil
}

// resolveWithdrawn ends the alerts on epochs that have come back, all that are looked at of each.
func (r *round) resolveWithdrawn(ctx context.Context) error {
	var errs []error
	for _, i := range rand.Perm(len(r.withdrawn))[:min(len(r.withdrawn), maxResolved)] {
		back, err := r.isBack(ctx, r.withdrawn[i])
		if err == nil && back {
			err = r.config.Incidents.Resolve(ctx, r.withdrawn[i], r.now)
		}
		if errs = append(errs, err); errors.Is(err, errNoneLeft) {
			break
		}
	}
	return errors.Join(errs...)
}

// isBack reports whether all epochs of an alert are there again: some, and then all of them.
func (r *round) isBack(ctx context.Context, a alert.Alert) (bool, error) {
	first, last := withdrawnEpochs(a)
	epochs := []uint64{first, last}
	for len(epochs) < maxResolvedEpochs {
		epochs = append(epochs, first+rand.N(last-first+1))
	}
	slices.Sort(epochs)
	back, err := r.areBack(ctx, slices.Compact(epochs))
	for from := first; back && err == nil && from <= last; {
		_, to := verdict.ShardRange(from / verdict.EpochsPerShard)
		to = min(to, last)
		back, err = r.areBack(ctx, epochset.Without(from, to, nil))
		from = to + 1
	}
	return back, err
}

// areBack reports whether the log lists the batches of epochs that were judged.
func (r *round) areBack(ctx context.Context, epochs []uint64) (bool, error) {
	verdicts, err := r.verdictsOf(ctx, epochs)
	if err != nil {
		return false, err
	}
	listing, err := r.list(ctx, epochs)
	if err != nil {
		return false, err
	}
	for _, v := range verdicts {
		if listing != nil {
			if object, err := listing.Object(v.Epoch); err == nil && !isAnother(v, object, nil) {
				continue
			}
		}
		object, err := r.locate(ctx, v.Epoch)
		if errors.Is(err, fetcher.ErrNotPublished) || fetcher.Reason(err) != "" {
			return false, nil
		}
		if err != nil || isAnother(v, object, nil) {
			return false, err
		}
	}
	return true, nil
}

// withdrawnEpochs returns the first and the last epoch of an alert by OfWithdrawn.
func withdrawnEpochs(a alert.Alert) (first, last uint64) {
	_, rest, _ := strings.Cut(a.Incident, "/")
	if _, err := fmt.Sscanf(rest, "%d-%d/", &first, &last); err != nil {
		return a.Epoch, a.Epoch
	}
	return first, max(first, last)
}
