package schedule

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict/epochset"
	"github.com/rs/zerolog"
)

const (
	// roundTimeout bounds one round, so that a source that never answers counts as one that fails.
	roundTimeout = 5 * time.Minute
	// reportTimeout bounds the alert on a round that failed, which may have taken all of its own
	// time.
	reportTimeout = 30 * time.Second
)

// follower follows a log's newest epochs. What it remembers saves requests, and dates what it saw;
// without it, as after a restart, it comes to the same.
type follower struct {
	config    Config
	progress  *progress
	queue     jobQueue
	incidents incident.Recorder
	verdicts  verdictCheck
	log       zerolog.Logger

	search       search
	observations observations // of recent epochs without a verdict
	checked      epochset.Set // whose verdicts were checked

	// when the newest epoch was published; while none is: when that was noticed
	newestSince time.Time
	// since when the log could not be searched to its end; zero: it was, in the last round
	unreadableSince time.Time
	// since when no round has gone well, here or with history; zero: the last ones have
	failingSince time.Time
	failingAt    uint64 // the epoch that the log was to have next then
	outlasting   epochset.Set

	notices map[string]alert.Alert // the notices of conditions that are open, by name
}

func newFollower(c Config, p *progress, q jobQueue, i incident.Recorder, log zerolog.Logger) *follower {
	return &follower{
		config: c, progress: p, queue: q, incidents: i, log: log,
		verdicts:     verdictCheck{c.Namespace, c.Store, i},
		search:       search{log: c.Fetcher, last: c.Last},
		observations: observations{}, notices: map[string]alert.Alert{},
	}
}

// run does a round each period. Only an end of ctx ends it.
func (f *follower) run(ctx context.Context) {
	for ctx.Err() == nil {
		end := observe.TracerOr(f.config.Tracer).Round(ctx, "follow", f.config.Namespace)
		err := f.round(ctx, time.Now())
		end(err)
		logFailure(ctx, f.log, err, "the log could not be read to its end; the next round tries again")
		_ = wait.For(ctx, f.config.Poll-rand.N(f.config.Poll/4+1))
	}
}

// round compares the log, the audit store and the queue once. One thing that fails doesn't keep the others from being done.
func (f *follower) round(ctx context.Context, now time.Time) error {
	work, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	open, err := f.incidents.Outbox().Unresolved(work, f.config.Namespace, f.notices)
	errs := []error{err, f.advance(work, now)}
	newest := f.progress.published()
	if newest >= f.config.First {
		errs = append(errs, f.reconcile(work, now, newest, open))
	}
	if newest >= f.config.First || !f.newestSince.IsZero() { // of a log that could not be read yet nothing is known
		observe.MetricsOr(f.config.Metrics).SetLog(f.config.Namespace, f.state(newest))
	}
	errs = append(errs, f.alertOnSilence(work, now, newest, open))
	err = errors.Join(errs...)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	alerting, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	return errors.Join(err, f.alertOnFailingRounds(alerting, now, err, open))
}

// advance finds the log's newest epoch.
func (f *follower) advance(ctx context.Context, now time.Time) error {
	if f.progress.published() == 0 {
		judged, err := report.HighestJudged(ctx, f.config.Store, f.config.Namespace)
		if err != nil {
			return err
		}
		f.progress.setPublished(max(judged, f.config.First-1))
	}
	known := f.progress.published()
	newest, err := f.search.newest(ctx, known)
	switch {
	case err == nil:
		f.unreadableSince = time.Time{}
		defer f.progress.setSearched() // after the newest epoch is noted
	case f.unreadableSince.IsZero():
		f.unreadableSince = now
	}
	if newest < f.config.First {
		if err == nil && f.newestSince.IsZero() {
			f.newestSince = now
			f.log.Warn().Uint64("first", f.config.First).Msg("no epoch is published yet: is it the right log directory?")
		}
		return err
	}
	if newest == known && !f.newestSince.IsZero() {
		return err
	}
	// Replicas and restarts agree on when the newest epoch came by the log's own clock, if it shows
	// one.
	f.newestSince = now
	object, locateErr := f.config.Fetcher.Locate(ctx, newest)
	if locateErr == nil && !object.ModTime.IsZero() && object.ModTime.Before(now) {
		f.newestSince = object.ModTime
	}
	f.progress.setPublished(newest)
	f.observations[newest] = &observation{published: true, since: now}
	return err
}

// reconcile compares the newest epochs with the audit store, puts those without a verdict on the
// queue and checks the verdicts that are new.
func (f *follower) reconcile(ctx context.Context, now time.Time, newest uint64, open []alert.Alert) error {
	from := f.progress.recentFrom(newest)
	read := func() (judged, unjudged []uint64, err error) {
		return report.SplitJudged(ctx, f.config.Store, f.config.Namespace, from, newest)
	}
	judged, unjudged, unlisted := read()
	var errs []error
	if len(unjudged) > 0 {
		errs = append(errs, f.queue.enqueue(ctx, queue.Fresh, func() ([][]uint64, error) {
			judged, unjudged, unlisted = read()
			return [][]uint64{unjudged}, nil
		}))
	}
	if unlisted == nil { // else there is no telling which have no verdict
		errs = append(errs, f.observations.update(ctx, f.config.Fetcher, now, unjudged))
		errs = append(errs, f.alertOnSkips(ctx, now, unjudged, open), f.resolveSkips(ctx, now, open))
		errs = append(errs, f.alertOnBacklog(ctx, now, open), f.alertOnFailingJobs(ctx, now, open))
	}
	errs = append(errs, unlisted)
	return errors.Join(append(errs, f.verdicts.check(ctx, judged, &f.checked))...)
}

// state is what metrics show.
func (f *follower) state(newest uint64) observe.LogState {
	state := observe.LogState{Head: f.progress.verifiedUpTo()}
	if newest >= f.config.First {
		state.Newest = newest
	}
	if f.progress.searched() { // else there may be newer ones
		state.NewestSince = f.newestSince
	}
	for _, o := range f.observations {
		if !o.published {
			continue
		}
		state.Open++
		if state.OldestOpenSince.IsZero() || o.since.Before(state.OldestOpenSince) {
			state.OldestOpenSince = o.since
		}
	}
	return state
}
