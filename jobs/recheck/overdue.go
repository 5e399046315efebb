package recheck

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
)

// An epoch may be open for so long, and be looked at so often, before people are told. Nothing is
// known of it: a log that answers for it with errors, from a cache or not at all may hide what
// became of it. So many tries take six hours, which spares the log a scheduler that was down. Of
// what is to be audited again, so many tries were put on the queue.
const (
	overdueAfter = 24 * time.Hour
	overdueTries = patientTries + 6
	overdueAsked = 3
)

// isLasting reports whether the epoch has been open for too long.
func (o *openEpoch) isLasting(now time.Time) bool { return now.Sub(o.since) > overdueAfter }

// isOverdue reports whether it is so though it was looked at, or put on the queue, often enough.
func (o *openEpoch) isOverdue(now time.Time) bool {
	return o.isLasting(now) && o.tries > overdueTries && (o.result != changed || o.asked >= overdueAsked)
}

// overdueAlert is the alert on epochs that were judged, and of which nothing can be found out since
// some time, the lowest of which is given. The hour is part of its name: what is so again later is
// another incident.
func overdueAlert(namespace string, lowest, epochs uint64, since, now time.Time) alert.Alert {
	return alert.Alert{
		Kind: alert.RecheckOverdue, Namespace: namespace, Epoch: lowest, At: now,
		Incident: fmt.Sprintf("%s/%012d/%s", alert.RecheckOverdue, lowest, now.UTC().Format("2006010215")),
		Summary: fmt.Sprintf("judged epochs of %s could not be looked at again since %s: %d, the first is epoch %d",
			namespace, since.UTC().Format(time.RFC3339), epochs, lowest),
		Detail: "the log, or what is on the way to it, answers with errors, from a cache, or lists a batch that cannot be fetched",
	}
}

// tellOverdue raises one alert, on the lowest epoch and for all that nothing could be concluded of
// for too long, and ends it when there are none, as far as a round says that came to its end.
func (r *round) tellOverdue(ctx context.Context, complete bool) error {
	var lowest, lasting, overdue uint64
	for epoch, o := range r.open {
		if o.isLasting(r.now) {
			lasting++
		}
		if !o.isOverdue(r.now) {
			continue
		}
		if overdue++; lowest == 0 || epoch < lowest {
			lowest = epoch
		}
	}
	if overdue > 0 && len(r.overdue) == 0 {
		// Another scheduler may have told of them meanwhile, as another epoch or in another hour.
		if err := r.readConditions(ctx); err != nil && !errors.Is(err, auditstore.ErrCorrupt) {
			return err
		}
		if len(r.overdue) > 0 {
			return nil
		}
		return r.config.Incidents.Raise(ctx, overdueAlert(r.config.Namespace, lowest, overdue, r.open[lowest].since, r.now))
	}
	if lasting > 0 || !complete {
		return nil
	}
	var errs []error
	for _, a := range r.overdue {
		errs = append(errs, r.config.Incidents.Resolve(ctx, a, r.now))
	}
	return errors.Join(errs...)
}
