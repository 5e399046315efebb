package schedule

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
)

// Conditions are what a follower tells people of that may end: skipped epochs that come after all, a silent log, a backlog, jobs and
// rounds that fail. Each is given those that were told and have not ended, whoever told them.

// endSkips resolves what was raised on epochs that have come after all. Of those that are history it looks for some by chance.
func (f *follower) endSkips(ctx context.Context, now time.Time, lasting []alert.Alert) error {
	var errs []error
	looks := 0
	for _, i := range rand.Perm(len(lasting)) {
		a := lasting[i]
		if a.Kind != alert.Skipped || looks == maxLooks {
			continue
		}
		if s := f.sightings[a.Epoch]; s != nil {
			if s.published {
				errs = append(errs, f.incidents.Resolve(ctx, a, now))
			}
			continue
		}
		looks++
		object, err := f.look(ctx, a.Epoch)
		if object != nil {
			err = f.incidents.Resolve(ctx, a, now)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// tellSilence raises an alert when the log has not moved for too long, also when it has never shown an epoch, as happens with a wrong
// log directory. It resolves it when the log has moved, or when it is known to be behind that epoch: the first one was set anew.
func (f *follower) tellSilence(ctx context.Context, now time.Time, head uint64, lasting []alert.Alert) error {
	var errs []error
	for _, a := range lasting {
		over := a.Epoch < head || a.Epoch > head && f.followed.Load() || head >= f.First && head == f.Last
		if a.Kind == alert.Silent && over {
			errs = append(errs, f.incidents.Resolve(ctx, a, f.moved))
		}
	}
	since := f.moved
	if f.unseen.After(since) {
		since = f.unseen
	}
	silent := f.SilentAfter > 0 && !f.moved.IsZero() && now.Sub(since) >= f.SilentAfter && (f.Last == 0 || head < f.Last)
	if silent && !isLasting(lasting, alert.SilentIncident(head)) {
		a := alert.OfSilent(f.Namespace, head, f.moved)
		if head < f.First {
			a.Summary = fmt.Sprintf("%s has no epoch from %d on in its log directory, seen since %s",
				f.Namespace, f.First, f.moved.UTC().Format(time.RFC3339))
		}
		errs = append(errs, f.incidents.Raise(ctx, a))
	}
	return errors.Join(errs...)
}

// tellBacklog raises one alert when published epochs have been waiting too long. It resolves it when none is any more and the epoch
// that it names, which may be history by now, has a verdict. One that is left over from a backlog, or about history from the first,
// may last for ever, as for an epoch that is never signed. It does not stand for the next backlog.
func (f *follower) tellBacklog(ctx context.Context, now time.Time, lasting []alert.Alert) error {
	oldest, since := uint64(math.MaxUint64), now
	for epoch, s := range f.sightings {
		if s.published && f.BacklogAge > 0 && now.Sub(s.since) >= f.BacklogAge && epoch < oldest {
			oldest, since = epoch, s.since
		}
	}
	late := oldest != math.MaxUint64
	for _, a := range lasting {
		if a.Kind != alert.Backlog {
			continue
		}
		if f.sightings[a.Epoch] != nil || late && !f.leftOver.Has(a.Epoch) {
			return nil // one alert stands for all of the backlog
		}
		open, err := f.isOpen(ctx, a.Epoch)
		if open {
			f.leftOver.Add(a.Epoch)
		} else if err == nil {
			err = f.incidents.Resolve(ctx, a, now)
		}
		if err != nil {
			return err
		}
	}
	if late {
		return f.incidents.Raise(ctx, alert.OfBacklog(f.Namespace, oldest, since))
	}
	return nil
}

// tellStuck raises one alert when the jobs of published epochs have been failing for too long, and resolves it when the epoch that
// it names has a verdict. What waits for something without failing is backlog.
func (f *follower) tellStuck(ctx context.Context, now time.Time, lasting []alert.Alert) error {
	for _, a := range lasting {
		if !isStuck(a) {
			continue
		}
		if open, err := f.isOpen(ctx, a.Epoch); open || err != nil {
			return err // one alert stands for all that fail
		}
		if err := f.incidents.Resolve(ctx, a, now); err != nil {
			return err
		}
	}
	var late []uint64
	for epoch, s := range f.sightings {
		if s.published && f.TransientAfter > 0 && now.Sub(s.since) >= f.TransientAfter {
			late = append(late, epoch)
		}
	}
	slices.Sort(late)
	for _, epoch := range late[:min(len(late), maxLooks)] {
		if fault, why := f.redis.LastAttempt(f.Namespace, epoch); fault {
			return f.incidents.Raise(ctx, alert.OfTransient(f.Namespace, epoch, f.sightings[epoch].since, why))
		}
	}
	return nil
}

// isStuck says whether an alert is about an epoch whose jobs fail.
func isStuck(a alert.Alert) bool {
	return a.Kind == alert.Transient && !isTrouble(a)
}

// isOpen says whether an epoch is one to audit, and has no verdict.
func (f *follower) isOpen(ctx context.Context, epoch uint64) (bool, error) {
	if epoch < f.First {
		return false, nil
	}
	_, err := f.Store.Verdict(ctx, f.Namespace, epoch)
	if errors.Is(err, auditstore.ErrNotFound) {
		return true, nil
	}
	return false, err
}

// sourceIncident is in the name of incidents that are about a log that cannot be looked at, rather than about an epoch.
const sourceIncident = "/scheduler-"

// tellFailure raises an alert when rounds, this one or those of history, have been failing for too long, and resolves it after one that
// has not. Its name holds the day, for the same trouble may come again before the log has moved. One stands for all trouble at the same
// time, though the log moves on meanwhile and other schedulers know another head.
func (f *follower) tellFailure(ctx context.Context, now time.Time, failure error, lasting []alert.Alert) error {
	history := f.historyFailure.Load()
	if history != nil {
		failure = errors.Join(failure, *history)
	}
	if failure == nil {
		f.failing = time.Time{}
		if history == nil {
			return nil // just started: what was raised may be about history
		}
		var errs []error
		for _, a := range lasting {
			if isTrouble(a) {
				errs = append(errs, f.incidents.Resolve(ctx, a, now))
			}
		}
		return errors.Join(errs...)
	}
	if f.failing.IsZero() {
		f.failing, f.failedAt = now, f.head.Load()+1
	}
	if f.TransientAfter <= 0 || now.Sub(f.failing) < f.TransientAfter || slices.ContainsFunc(lasting, isTrouble) {
		return nil
	}
	a := alert.OfTransient(f.Namespace, f.failedAt, f.failing, failure)
	a.Incident += sourceIncident + f.failing.UTC().Format("20060102")
	a.Summary = fmt.Sprintf("the scheduler cannot follow %s since %s", f.Namespace, f.failing.UTC().Format(time.RFC3339))
	return f.incidents.Raise(ctx, a)
}

// isTrouble says whether an alert is about rounds that fail.
func isTrouble(a alert.Alert) bool {
	return a.Kind == alert.Transient && strings.Contains(a.Incident, sourceIncident)
}

func isLasting(lasting []alert.Alert, incident string) bool {
	return slices.ContainsFunc(lasting, func(a alert.Alert) bool { return a.Incident == incident })
}
