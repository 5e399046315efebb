package schedule

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/retention"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
)

const (
	// defaultRecent is how many of a log's newest epochs go on the fresh queue. All before them are history.
	defaultRecent = 1000
	// backfillTick is how often a backfill looks whether the workers are about to run out of work.
	backfillTick = time.Second
	// roundTimeout bounds one look at a log, so that a source that never answers counts as one that fails.
	roundTimeout = 5 * time.Minute
	tellTimeout  = 30 * time.Second
)

// Schedule says how one log is followed. Namespace, Fetcher and Store must be set.
type Config struct {
	Namespace string
	Fetcher   *fetcher.Fetcher
	Store     *auditstore.Store
	// First is the first epoch to audit; 0 means 1. Last is the last one of a log that is closed; 0 means that it goes on.
	First, Last uint64
	// Poll is how often the log is looked at. 0 means 30 s. Each pause is up to a quarter shorter, so that schedulers and
	// logs don't fall into step.
	Poll time.Duration
	// SilentAfter, TransientAfter and BacklogAge say how long the log may publish nothing, faults may keep it or its epochs from
	// being looked at, and published epochs may lack a verdict before that is an alert; 0 means for ever.
	SilentAfter, TransientAfter, BacklogAge time.Duration
	// Retention is how long archived batches are kept; 0 means for ever. Those of rejected epochs are kept in any case.
	Retention time.Duration
	// Metrics are told how far the log and its audit are; nil measures nothing.
	Metrics observe.Metrics
	// Tracer gets a trace of each look at the log; nil traces nothing.
	Tracer observe.Tracer
	// Backfills say how history is audited. What none of them covers is audited like a BackfillPlan{From: First}.
	Backfills []BackfillPlan
}

// BackfillPlan is a piece of a log's history.
type BackfillPlan struct {
	// From and To are its first and last epoch. From 0 means the log's First, To 0 up to the newest history there is.
	From, To uint64
	// Cron says when to begin or go on, in UTC: five fields or a word such as @daily. It then goes on until every epoch there
	// was has a verdict. Empty means always.
	Cron string
	// Window is how many of its epochs may be on the queue at the same time. 0 means 10,000. Those that the log has not published
	// take no part in it once they were looked for; they are looked for again now and then, with a cron each time that it is due.
	// Those that cannot be judged for another reason, such as a signed digest that never comes, stay in it.
	Window int
}

// Scheduler keeps on the queue what is to be audited, and raises an alert when something is wrong with a log. It has no state that
// matters: each round compares the log with the audit store and the queue, and adds what is missing. So any number of schedulers
// may run, none has to be the leader, and a Redis that lost everything has it back after a round.
type Scheduler struct {
	redis *queue.Redis
	logs  []*scheduledLog
	log   zerolog.Logger
}

// scheduledLog is one log of a scheduler. Its follower, its history, its seals and its retention are a goroutine each, and share only
// how far the log and its audit are, and whether history can be worked on.
type scheduledLog struct {
	Config
	log       zerolog.Logger
	incidents incident.Recorder
	redis     *queue.Redis
	recent    uint64        // how many epochs up to the head are not history
	head      atomic.Uint64 // the newest epoch known to be published; 0: none
	// followed says that head was looked for to the end once, and is not only the newest epoch with a verdict.
	followed atomic.Bool
	verified atomic.Uint64 // the last epoch up to which all are verified; 0: none or not known
	// historyFailure is what kept the last round of history from going well; nil: there has been no round yet.
	historyFailure atomic.Pointer[error]

	// Of the goroutine that does history: its backfills, and how many epochs they had on the queue in the last round, and
	// whether there were more.
	history   []*backfill
	handedOut int64
	more      bool
	moving    bool // one of them found out something about gaps, and there may be more
	begun     bool // there has been history
	// conditions are the notices of conditions that are open, by name, as history saw them last. The follower has its own.
	conditions map[string]alert.Alert
	// sealsKnown says that the backfills pass over what was sealed.
	sealsKnown bool

	retention *retention.Remover
}

// NewScheduler checks the schedules. Several schedulers of the same logs may share a Redis.
func New(r *queue.Redis, schedules []Config, log zerolog.Logger) (*Scheduler, error) {
	s := &Scheduler{redis: r, log: log}
	seen := map[string]bool{}
	for _, schedule := range schedules {
		l, err := newScheduledLog(r, schedule, log)
		if err != nil {
			return nil, err
		}
		if seen[l.Namespace] {
			return nil, fmt.Errorf("scheduler has two schedules for %s", l.Namespace)
		}
		seen[l.Namespace] = true
		s.logs = append(s.logs, l)
	}
	if len(s.logs) == 0 {
		return nil, errors.New("scheduler has no log to follow")
	}
	return s, nil
}

func newScheduledLog(r *queue.Redis, s Config, log zerolog.Logger) (*scheduledLog, error) {
	if err := verdict.CheckNamespace(s.Namespace); err != nil {
		return nil, err
	}
	s.First = max(s.First, 1)
	if s.Poll <= 0 {
		s.Poll = 30 * time.Second
	}
	switch {
	case s.Fetcher == nil || s.Store == nil:
		return nil, fmt.Errorf("%s: a schedule needs a fetcher and an audit store", s.Namespace)
	case s.Last != 0 && s.Last < s.First:
		return nil, fmt.Errorf("%s: last epoch %d is before the first, %d", s.Namespace, s.Last, s.First)
	case max(s.First, s.Last) > verdict.MaxEpoch:
		return nil, fmt.Errorf("%s: the audit store's layout ends at epoch %d", s.Namespace, uint64(verdict.MaxEpoch))
	}
	log = log.With().Str("namespace", s.Namespace).Logger()
	l := &scheduledLog{
		Config: s, redis: r, recent: defaultRecent, conditions: map[string]alert.Alert{},
		log: log, incidents: incident.Recorder{Store: s.Store, Metrics: s.Metrics, Log: log},
	}
	var err error
	l.history, err = newBackfills(s)
	l.retention = retention.New(retention.Config{
		Namespace: s.Namespace, Store: s.Store, Keep: s.Retention, First: s.First, Last: s.Last, Metrics: s.Metrics, Log: l.log,
	})
	return l, err
}

// Run follows all logs until ctx ends, and then returns nil. Whatever fails is tried again and told to the log; an error means
// that the scheduler did not start.
func (s *Scheduler) Run(ctx context.Context) error {
	var group errgroup.Group
	for _, l := range s.logs {
		group.Go(func() error { l.followForEver(ctx); return nil })
		group.Go(func() error { l.backfillForEver(ctx); return nil })
		group.Go(func() error { l.sealForEver(ctx); return nil })
		group.Go(func() error { l.retention.Run(ctx); return nil })
	}
	s.log.Info().Int("logs", len(s.logs)).Str("redis", s.redis.String()).Msg("scheduler started")
	err := group.Wait()
	s.log.Info().Msg("scheduler stopped")
	return err
}

// followForEver looks at the log again and again. Only an end of ctx ends it.
func (l *scheduledLog) followForEver(ctx context.Context) {
	f := newFollower(l)
	for ctx.Err() == nil {
		end := observe.TracerOr(l.Tracer).Round(ctx, "follow", l.Namespace)
		err := f.round(ctx, time.Now())
		end(err)
		l.report(ctx, err, "log not looked at to the end: will be tried again")
		_ = wait.For(ctx, l.Poll-rand.N(l.Poll/4+1))
	}
}

// backfillForEver keeps history on the queue: a round each period, and sooner when the workers run out of it.
func (l *scheduledLog) backfillForEver(ctx context.Context) {
	last := time.Time{}
	for ctx.Err() == nil {
		if time.Since(last) >= l.Poll-rand.N(l.Poll/4+1) || l.hungry(ctx) {
			last = time.Now()
			round, cancel := context.WithTimeout(ctx, roundTimeout)
			end := observe.TracerOr(l.Tracer).Round(ctx, "backfill", l.Namespace)
			err := l.backfillRound(round, last) // which knows how much time has passed, whatever the clock was set to
			end(err)
			cancel()
			l.moving = l.moving && err == nil
			l.report(ctx, err, "history not brought onto the queue: will be tried again")
		}
		_ = wait.For(ctx, min(backfillTick, l.Poll/4+1))
	}
}

func (l *scheduledLog) report(ctx context.Context, err error, message string) {
	if err != nil && ctx.Err() == nil {
		l.log.Warn().Err(err).Msg(message)
	}
}

// enqueue puts the epochs that find returns, those of several lists in turn, on a queue unless they are on one. It calls find once
// it has seen what is on the queues: an epoch that leaves them meanwhile has its verdict by then.
func (l *scheduledLog) enqueue(ctx context.Context, class queue.Class, find func() ([][]uint64, error)) error {
	enqueuer := queue.Enqueuer{Redis: l.redis, Namespace: l.Namespace, Class: class}
	var found error // kept from the enqueuer, which would drop the epochs that it is about to put on the queue
	c, err := enqueuer.EnqueueEach(ctx, func(send func(uint64) error) error {
		var lists [][]uint64
		lists, found = find()
		return inTurn(lists, send)
	})
	if c.Enqueued+c.Revived > 0 {
		l.log.Info().Str("class", string(class)).Uint64("enqueued", c.Enqueued).Uint64("revived", c.Revived).Msg("epochs enqueued")
	}
	return errors.Join(found, err)
}
