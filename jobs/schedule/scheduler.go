package schedule

import (
	"context"
	"errors"
	"fmt"

	"github.com/ktaudit/ktaudit/jobs/chain"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/recheck"
	"github.com/ktaudit/ktaudit/jobs/retention"
	"github.com/ktaudit/ktaudit/jobs/seal"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
)

// slowPeriod is how many periods of a log lie between two rounds of what is in no hurry: to seal,
// to walk names, and to look again. With the usual period that is 5 minutes.
const slowPeriod = 10

// Scheduler follows some logs.
type Scheduler struct {
	queue Queue
	logs  []*scheduledLog
	log   zerolog.Logger
}

// New checks the configurations, one for each log. Several schedulers of the same logs may share a
// queue.
func New(q Queue, logs []Config, log zerolog.Logger) (*Scheduler, error) {
	s := &Scheduler{queue: q, log: log}
	seen := map[string]bool{}
	for _, c := range logs {
		l, err := newScheduledLog(q, c, log)
		if err != nil {
			return nil, err
		}
		if seen[c.Namespace] {
			return nil, fmt.Errorf("scheduler has two schedules for %s", c.Namespace)
		}
		seen[c.Namespace] = true
		s.logs = append(s.logs, l)
	}
	if len(s.logs) == 0 {
		return nil, errors.New("scheduler has no log to follow")
	}
	return s, nil
}

// Run follows all logs until ctx ends, and then returns nil. Whatever fails is logged and tried
// again.
func (s *Scheduler) Run(ctx context.Context) error {
	var group errgroup.Group
	for _, l := range s.logs {
		for _, run := range l.loops {
			group.Go(func() error { run(ctx); return nil })
		}
	}
	if shared, ok := s.queue.(sharedQueue); ok {
		var namespaces []string
		for _, l := range s.logs {
			namespaces = append(namespaces, l.follower.config.Namespace)
		}
		group.Go(func() error { shared.AnnounceScheduler(ctx, namespaces); return nil })
		group.Go(func() error { shared.ReviveAbandoned(ctx, namespaces, s.log); return nil })
	}
	s.log.Info().Int("logs", len(s.logs)).Str("redis", s.queue.String()).Msg("scheduler started")
	err := group.Wait()
	s.log.Info().Msg("scheduler stopped")
	return err
}

// scheduledLog is one log of a scheduler: its goroutines, and the facts that they share.
type scheduledLog struct {
	progress   *progress
	follower   *follower
	backfiller *backfiller
	retention  *retention.Remover
	loops      []func(context.Context) // each runs until its context ends
}

func newScheduledLog(work Queue, c Config, log zerolog.Logger) (*scheduledLog, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	log = log.With().Str("namespace", c.Namespace).Logger()
	shared := newProgress(c.First)
	incidents := incident.Recorder{Store: c.Store, Metrics: c.Metrics, Log: log, Collect: c.Collect}
	q := jobQueue{work, c.Namespace, log}
	backfiller, err := newBackfiller(c, shared, q, incidents, log)
	if err != nil {
		return nil, err
	}
	l := &scheduledLog{
		progress:   shared,
		follower:   newFollower(c, shared, q, incidents, log),
		backfiller: backfiller,
		retention: retention.New(retention.Config{
			Namespace: c.Namespace, Store: c.Store, Keep: c.Retention, First: c.First, Last: c.Last, Metrics: c.Metrics, Log: log,
		}),
	}
	seals := seal.Loop{
		Sealer: &seal.Sealer{Store: c.Store, Namespace: c.Namespace, Log: log, Metrics: c.Metrics, Collect: c.Collect}, First: c.First, Anchor: c.Anchor,
		Newest: shared.published, OnHead: shared.setVerifiedUpTo, Soon: c.Poll, Period: slowPeriod * c.Poll, Tracer: c.Tracer,
	}
	agreement := incident.Loop{Recorder: incidents, Namespace: c.Namespace, Retry: c.Poll}
	l.loops = []func(context.Context){l.follower.run, l.backfiller.run, seals.Run, l.retention.Run, agreement.Run}
	if c.Names != nil {
		names := chain.Loop{
			Walker: c.Names, First: c.First, Newest: shared.published, Period: slowPeriod * c.Poll, Whole: c.ChainEvery,
			Metrics: c.Metrics, Tracer: c.Tracer, Log: log,
		}
		l.loops = append(l.loops, names.Run)
	}
	if c.Recheck.Any() {
		again := recheck.New(recheck.Config{
			Settings: c.Recheck, Namespace: c.Namespace, Store: c.Store, Fetcher: c.Fetcher, Log: c.Log, Newest: shared.published,
			Reaudit: q.reaudit(queue.Fresh), Sample: q.reaudit(queue.Backfill), Incidents: incidents, Period: slowPeriod * c.Poll,
			Metrics: c.Metrics, Tracer: c.Tracer, Logger: log,
		})
		l.loops = append(l.loops, again.Run)
	}
	l.loops = append(l.loops, c.Beside...)
	return l, nil
}

// logFailure logs why a round failed, unless ctx has ended.
func logFailure(ctx context.Context, log zerolog.Logger, err error, message string) {
	if err != nil && ctx.Err() == nil {
		log.Warn().Err(err).Msg(message)
	}
}
