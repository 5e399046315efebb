package schedule

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/jobs/frontier"
)

// Conditions are what a follower alerts people to that may end: skipped epochs that come after all,
// a silent log, a backlog, jobs and rounds that fail. Each method is given the alerts that are
// open, whoever raised them.

// alertOnSkips raises an alert on each run of epochs that the log left out, once the first of them,
// which names the incident, was looked for often and for long enough. Behind the end of the chain
// that is the next epoch only: the log has not come to later ones.
func (f *follower) alertOnSkips(ctx context.Context, now time.Time, unjudged []uint64, open []alert.Alert) error {
	var errs []error
	newest := f.progress.published()
	for i, epoch := range unjudged {
		if !f.observations.Missing(epoch) || i > 0 && unjudged[i-1] == epoch-1 && f.observations.Missing(epoch-1) {
			continue
		}
		// The rest of a longer run, whose beginning is history by now, is no news.
		if epoch == f.progress.recentFrom(newest) && epoch > f.config.First {
			continue
		}
		after := f.progress.skippedAfter()
		if !f.observations[epoch].Absence.IsSkip(now, after) || isOpen(open, alert.SkippedIncident(epoch)) {
			continue
		}
		if epoch > f.chained+1 || epoch == f.chained+1 && now.Sub(f.frontier.StandsSince()) < after {
			continue
		}
		a := alert.OfSkipped(f.config.Namespace, epoch, newest)
		last := epoch
		for f.observations.Missing(last + 1) {
			last++
		}
		if last > epoch {
			a.Detail = fmt.Sprintf("missing are epochs %d to %d", epoch, last)
		}
		errs = append(errs, f.incidents.Raise(ctx, a))
	}
	return errors.Join(errs...)
}

// resolveSkips resolves what was raised on epochs that have come after all. Of those that are
// history it locates some by chance. What an earlier version raised on epochs far ahead stays: once
// resolved, an incident is never raised again, and the log may come there and leave them out.
func (f *follower) resolveSkips(ctx context.Context, now time.Time, open []alert.Alert) error {
	var errs []error
	located := 0
	for _, i := range rand.Perm(len(open)) {
		a := open[i]
		if a.Kind != alert.Skipped || located == frontier.MaxLocated || located > 0 && frontier.IsLate(ctx) {
			continue
		}
		if seen := f.observations[a.Epoch]; seen != nil {
			if seen.Published {
				errs = append(errs, f.incidents.Resolve(ctx, a, now))
			}
			continue
		}
		located++
		answer, err := frontier.Locate(ctx, f.config.Fetcher, a.Epoch)
		if answer.Published {
			err = f.incidents.Resolve(ctx, a, now)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// alertOnImplausible raises one alert when the log lists an epoch so far ahead that it is not
// followed. It resolves it when the log has come to that epoch or no longer lists it.
func (f *follower) alertOnImplausible(ctx context.Context, now time.Time, open []alert.Alert) error {
	for _, a := range open {
		if a.Kind != alert.Implausible {
			continue
		}
		if a.Epoch > f.progress.published() {
			var answer frontier.Answer
			err := within(ctx, f.patience.ask, "looking for an epoch far ahead", func(ctx context.Context) (err error) {
				answer, err = frontier.Locate(ctx, f.config.Fetcher, a.Epoch)
				return err
			})
			if err != nil || !answer.Missing() {
				return err // one alert stands for all such epochs
			}
		}
		if err := f.incidents.Resolve(ctx, a, now); err != nil {
			return err
		}
	}
	beyond := f.frontier.Beyond()
	if beyond == 0 {
		return nil
	}
	if beyond != f.implausible {
		f.log.Warn().Uint64("epoch", beyond).Uint64("chained", f.chained).
			Msg("the log lists an epoch that it cannot have come to: it is not followed, and what comes next is still looked for")
	}
	f.implausible = beyond
	return f.incidents.Raise(ctx, alert.OfImplausible(f.config.Namespace, beyond, f.chained))
}

const staleListings = "a content network answers for the log, with listings that it has kept"

// alertOnSilence raises an alert when the log's chain has not gone on for too long, also when it
// has never shown an epoch, as happens with a wrong log directory. It resolves it when the chain
// has gone on, or when it is known to end before that epoch: the first one was set anew.
func (f *follower) alertOnSilence(ctx context.Context, now time.Time, open []alert.Alert) error {
	var errs []error
	for _, a := range open {
		over := a.Epoch < f.chained || a.Epoch > f.chained && f.progress.searched() || f.isClosed()
		if a.Kind == alert.Silent && over {
			errs = append(errs, f.incidents.Resolve(ctx, a, f.chainedSince))
		}
	}
	if f.isSilent(now) && !isOpen(open, alert.SilentIncident(f.chained)) {
		a := alert.OfSilent(f.config.Namespace, f.chained, f.chainedSince)
		if f.chained < f.config.First {
			a.Summary = fmt.Sprintf("%s has no epoch from %d on in its log directory, seen since %s",
				f.config.Namespace, f.config.First, f.chainedSince.UTC().Format(time.RFC3339))
		}
		if newest := f.progress.published(); newest > f.chained {
			a.Detail = fmt.Sprintf("epoch %d is there, but not what comes before it", newest)
		}
		if f.frontier.IsStale() {
			a.Detail = staleListings
		}
		errs = append(errs, f.incidents.Raise(ctx, a))
	}
	return errors.Join(errs...)
}

// isSilent reports whether the log has published nothing for too long, as far as it could be read.
func (f *follower) isSilent(now time.Time) bool {
	since := f.chainedSince
	if f.unreadableSince.After(since) {
		since = f.unreadableSince
	}
	return f.config.SilentAfter > 0 && !f.chainedSince.IsZero() && now.Sub(since) >= f.config.SilentAfter && !f.isClosed()
}

// isClosed reports whether the log has come to its last epoch.
func (f *follower) isClosed() bool {
	return f.config.Last != 0 && f.progress.published() >= f.config.Last
}

// alertOnBacklog raises one alert when published epochs have been waiting too long. It resolves it
// when none is any more and the epoch that it names, which may be history by now, has a verdict.
// One that has outlasted its backlog, or was about history from the first, may last for ever, as
// for an epoch that is never signed. It does not stand for the next backlog.
func (f *follower) alertOnBacklog(ctx context.Context, now time.Time, open []alert.Alert) error {
	late := f.observations.PublishedSince(now, f.config.BacklogAge)
	for _, a := range open {
		if a.Kind != alert.Backlog {
			continue
		}
		if f.observations[a.Epoch] != nil || len(late) > 0 && !f.outlasting.Has(a.Epoch) {
			return nil // one alert stands for all of the backlog
		}
		unjudged, err := f.isUnjudged(ctx, a.Epoch)
		if unjudged {
			f.outlasting.Add(a.Epoch)
		} else if err == nil {
			err = f.incidents.Resolve(ctx, a, now)
		}
		if err != nil {
			return err
		}
	}
	if len(late) == 0 {
		return nil
	}
	return f.incidents.Raise(ctx, alert.OfBacklog(f.config.Namespace, late[0], f.observations[late[0]].Since))
}

// alertOnFailingJobs raises one alert when the jobs of published epochs have been failing for too
// long, and resolves it when the epoch that it names has a verdict. What waits for something
// without failing is backlog.
func (f *follower) alertOnFailingJobs(ctx context.Context, now time.Time, open []alert.Alert) error {
	for _, a := range open {
		if !isAboutJobs(a) {
			continue
		}
		if unjudged, err := f.isUnjudged(ctx, a.Epoch); unjudged || err != nil {
			return err // one alert stands for all that fail
		}
		if err := f.incidents.Resolve(ctx, a, now); err != nil {
			return err
		}
	}
	late := f.observations.PublishedSince(now, f.config.TransientAfter)
	for _, epoch := range late[:min(len(late), frontier.MaxLocated)] {
		if fault, why := f.queue.LastAttempt(f.config.Namespace, epoch); fault {
			return f.incidents.Raise(ctx, alert.OfTransient(f.config.Namespace, epoch, f.observations[epoch].Since, why))
		}
	}
	return nil
}

// isUnjudged reports whether an epoch is one to audit, and has no verdict.
func (f *follower) isUnjudged(ctx context.Context, epoch uint64) (bool, error) {
	if epoch < f.config.First {
		return false, nil
	}
	_, err := f.config.Store.Verdict(ctx, f.config.Namespace, epoch)
	if errors.Is(err, auditstore.ErrNotFound) {
		return true, nil
	}
	return false, err
}

// roundsIncident is in the name of incidents that are about rounds that fail, rather than about an
// epoch.
const roundsIncident = "/scheduler-"

// alertOnFailingRounds raises an alert when rounds, this one or those of history, have been failing
// for too long, and resolves it after one that has not. Its name holds the day, for the same
// trouble may come again before the log has published. One stands for all trouble at the same time,
// though the log goes on meanwhile and other schedulers know another newest epoch.
func (f *follower) alertOnFailingRounds(ctx context.Context, now time.Time, failure error, open []alert.Alert) error {
	history, known := f.progress.historyTrouble(now, f.config.Poll)
	failure = errors.Join(failure, history)
	if failure == nil {
		f.failingSince = time.Time{}
		if !known {
			return nil // just started: what was raised may be about history
		}
		var errs []error
		for _, a := range open {
			if isAboutRounds(a) {
				errs = append(errs, f.incidents.Resolve(ctx, a, now))
			}
		}
		return errors.Join(errs...)
	}
	if f.failingSince.IsZero() {
		f.failingSince, f.failingAt = now, f.progress.published()+1
	}
	late := f.config.TransientAfter > 0 && now.Sub(f.failingSince) >= f.config.TransientAfter
	if !late || slices.ContainsFunc(open, isAboutRounds) {
		return nil
	}
	a := alert.OfTransient(f.config.Namespace, f.failingAt, f.failingSince, failure)
	a.Incident += roundsIncident + f.failingSince.UTC().Format("20060102")
	a.Summary = fmt.Sprintf("the scheduler cannot follow %s since %s",
		f.config.Namespace, f.failingSince.UTC().Format(time.RFC3339))
	return f.incidents.Raise(ctx, a)
}

// isAboutRounds reports whether an alert is about rounds that fail.
func isAboutRounds(a alert.Alert) bool {
	return a.Kind == alert.Transient && strings.Contains(a.Incident, roundsIncident)
}

// isAboutJobs reports whether an alert is about an epoch whose jobs fail.
func isAboutJobs(a alert.Alert) bool { return a.Kind == alert.Transient && !isAboutRounds(a) }

func isOpen(open []alert.Alert, incident string) bool {
	return slices.ContainsFunc(open, func(a alert.Alert) bool { return a.Incident == incident })
}
