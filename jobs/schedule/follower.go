package schedule

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/frontier"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/lag"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/jobs/verdictcheck"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
	"github.com/rs/zerolog"
)

const (
	// roundTimeout bounds one round, so that a source that never answers counts as one that fails.
	roundTimeout = 5 * time.Minute
	// searchTimeout bounds the searching of the log in a round, so that what is known is worked on
	// though the log doesn't answer. frontier.AskTimeout bounds the further questions to it.
	searchTimeout = 2 * time.Minute
	// aheadPeriod is in how many rounds verdicts ahead of what is followed are looked for once.
	aheadPeriod = 10
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
	verdicts  verdictcheck.Checker
	log       zerolog.Logger

	frontier     *frontier.Frontier
	observations frontier.Observations // of recent epochs without a verdict
	checked      epochset.Set          // whose verdicts were checked

	// the last epoch that continues the log's chain, and when it was published; while there is
	// none: when that was noticed
	chained      uint64
	chainedSince time.Time
	patience     patience
	// since when the log could not be searched to its end; zero: it was, in the last round
	unreadableSince time.Time
	// since when no round has gone well, here or with history; zero: the last ones have
	failingSince time.Time
	failingAt    uint64 // the epoch that the log was to have next then
	outlasting   epochset.Set
	wereKeyless  bool   // in the last round epochs waited for a key
	implausible  uint64 // the last epoch far ahead that was logged
	wasStale     bool   // so that it is logged once
	rounds       int

	notices map[string]alert.Alert // the notices of conditions that are open, by name
}

// patience is how long a log may take for its answers.
type patience struct{ search, ask time.Duration }

func newFollower(c Config, p *progress, q jobQueue, i incident.Recorder, log zerolog.Logger) *follower {
	return &follower{
		config: c, progress: p, queue: q, incidents: i, log: log,
		verdicts: verdictcheck.Checker{Namespace: c.Namespace, Store: c.Store, Incidents: i},
		frontier: frontier.New(frontier.Config{
			Namespace: c.Namespace, Log: c.Fetcher, Store: c.Store, First: c.First, Last: c.Last, Cadence: c.Cadence, Poll: c.Poll,
		}),
		chained: c.First - 1, patience: patience{searchTimeout, frontier.AskTimeout},
		observations: frontier.Observations{}, notices: map[string]alert.Alert{},
	}
}

// run does a round each period. Only an end of ctx ends it.
func (f *follower) run(ctx context.Context) {
	for ctx.Err() == nil {
		end := observe.TracerOr(f.config.Tracer).Round(ctx, "follow", f.config.Namespace)
		err := f.round(ctx, time.Now())
		end(err)
		logFailure(ctx, f.log, err, "the log could not be read to its end; the next round tries again")
		if err == nil {
			err = f.trouble(time.Now())
		}
		if f.config.OnRound != nil && ctx.Err() == nil {
			f.config.OnRound(err)
		}
		_ = wait.For(ctx, f.config.Poll-rand.N(f.config.Poll/4+1))
	}
}

// round compares the log, the audit store and the queue once. One thing that fails, or a log that
// doesn't answer, doesn't keep the others from being done.
func (f *follower) round(ctx context.Context, now time.Time) error {
	work, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	open, err := f.incidents.Outbox().Unresolved(work, f.config.Namespace, f.notices)
	errs := []error{err, f.advance(work, now)}
	newest := f.progress.published()
	if newest >= f.config.First {
		errs = append(errs, f.reconcile(work, now, newest, open))
	}
	if newest >= f.config.First || !f.chainedSince.IsZero() { // of a log that could not be read yet nothing is known
		observe.MetricsOr(f.config.Metrics).SetLog(f.config.Namespace, f.state())
	}
	errs = append(errs, f.alertOnSilence(work, now, open), f.alertOnImplausible(work, now, open))
	err = errors.Join(errs...)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	alerting, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	return errors.Join(err, f.alertOnFailingRounds(alerting, now, err, open))
}

// trouble returns what is wrong after a round that has not failed, or nil.
func (f *follower) trouble(now time.Time) error {
	switch err, known := f.progress.historyTrouble(now, f.config.Poll); {
	case !known:
		return errors.New("history was not looked at yet")
	case err != nil:
		return err
	}
	if behind := f.lag(now); behind.Exceeds(f.config.MaxLagEpochs, f.config.MaxLag, now) {
		return fmt.Errorf("%d epochs have no verdict, the first of them since %s, which is more than max_lag: are workers running?",
			behind.Epochs, behind.Since.UTC().Format(time.RFC3339))
	}
	return nil
}

// lag returns how far the audit of what is not history is behind, since the times that the log
// gives, which a restart does not change.
func (f *follower) lag(now time.Time) lag.Lag {
	behind := lag.Lag{Published: f.progress.published()}
	for _, o := range f.observations {
		if !o.Published {
			continue
		}
		behind.Epochs++
		since := o.Since
		if !o.Written.IsZero() && o.Written.Before(since) {
			since = o.Written
		}
		if behind.Since.IsZero() || since.Before(behind.Since) {
			behind.Since = since
		}
	}
	return behind
}

// advance finds out how far the log has come.
func (f *follower) advance(ctx context.Context, now time.Time) error {
	err := within(ctx, f.patience.search, "searching the log for new epochs", func(ctx context.Context) error {
		return f.frontier.Advance(ctx, now)
	})
	switch {
	case err == nil:
		f.unreadableSince = time.Time{}
		defer f.progress.setSearched() // after the newest epoch is noted
	case f.unreadableSince.IsZero():
		f.unreadableSince = now
	}
	f.progress.setCadence(f.frontier.Cadence())
	if isStale := f.frontier.IsStale(); isStale != f.wasStale {
		f.wasStale = isStale
		if isStale {
			f.log.Warn().Msg(staleListings + ": what they lack may be published all the same")
		}
	}
	chained, since := f.frontier.Chained(), f.frontier.ChainedSince()
	if newest := f.frontier.Newest(); newest >= f.config.First && newest > f.progress.published() {
		f.progress.setPublished(newest)
		f.observations[newest] = &frontier.Observation{Published: true, Since: now}
		if newest == chained {
			f.observations[newest].Written = since
		}
	}
	isNew := chained > f.chained
	switch f.chained = chained; {
	case isNew && !since.IsZero(): // so that replicas and restarts agree
		f.chainedSince = since
	case isNew, err == nil && f.chainedSince.IsZero():
		f.chainedSince = now
		if chained < f.config.First {
			f.log.Warn().Uint64("first", f.config.First).Msg("no epoch is published yet: is it the right log directory?")
		}
	}
	return err
}

// within does what asks a log directory something, for a while.
func within(ctx context.Context, limit time.Duration, what string, do func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := do(limited)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%s took longer than %s: %w", what, limit, err)
	}
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
			return [][]uint64{slices.DeleteFunc(slices.Clone(unjudged), f.isAhead)}, nil
		}))
	}
	if unlisted == nil { // else there is no telling which have no verdict
		errs = append(errs, within(ctx, f.patience.ask, "looking for epochs without a verdict", func(ctx context.Context) error {
			return f.observations.Update(ctx, f.config.Fetcher, now, unjudged)
		}))
		errs = append(errs, f.alertOnSkips(ctx, now, unjudged, open))
		errs = append(errs, within(ctx, f.patience.ask, "looking for skipped epochs", func(ctx context.Context) error {
			return f.resolveSkips(ctx, now, open)
		}))
		errs = append(errs, f.alertOnBacklog(ctx, now, open), f.alertOnFailingJobs(ctx, now, open),
			f.alertOnUnknownKeys(ctx, now, slices.DeleteFunc(slices.Clone(unjudged), f.isUnpublished), open))
	}
	ahead, err := f.judgedAhead(ctx, newest)
	errs = append(errs, unlisted, err)
	return errors.Join(append(errs, f.verdicts.Check(ctx, append(judged, ahead...), &f.checked))...)
}

// judgedAhead returns, now and then, epochs with a verdict that are not followed: of a log that
// lists some far ahead, or ends before them today. What they show is told all the same.
func (f *follower) judgedAhead(ctx context.Context, newest uint64) (ahead []uint64, err error) {
	f.rounds++
	if f.rounds%aheadPeriod != 1 || newest >= verdict.MaxEpoch {
		return nil, nil
	}
	enough := errors.New("enough")
	err = report.EachShard(ctx, f.config.Store, f.config.Namespace, newest+1, verdict.MaxEpoch, func(epochs []uint64) error {
		if ahead = append(ahead, epochs...); len(ahead) >= recentEpochs {
			return enough
		}
		return nil
	})
	if errors.Is(err, enough) {
		err = nil
	}
	return ahead, err
}

// isAhead reports whether an epoch is not there yet, though a later one is. Workers would ask for
// it again and again, and a content network would keep the answer.
func (f *follower) isAhead(epoch uint64) bool {
	return f.frontier.IsInGap(epoch) && !f.observations.Published(epoch)
}

// isUnpublished reports whether an epoch was not seen to be published.
func (f *follower) isUnpublished(epoch uint64) bool { return !f.observations.Published(epoch) }

// state is what metrics show.
func (f *follower) state() observe.LogState {
	state := observe.LogState{Head: f.progress.verifiedUpTo()}
	if f.chained >= f.config.First {
		state.Newest = f.chained
	}
	if f.progress.searched() { // else there may be newer ones
		state.NewestSince = f.chainedSince
	}
	for _, o := range f.observations {
		if !o.Published {
			continue
		}
		state.Open++
		if state.OldestOpenSince.IsZero() || o.Since.Before(state.OldestOpenSince) {
			state.OldestOpenSince = o.Since
		}
	}
	return state
}
