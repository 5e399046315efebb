package recheck

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/frontier"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/rs/zerolog"
	"gocloud.dev/blob"
)

const (
	// roundTimeout bounds a round, maxRequests what it asks of the log, and maxReaudits how many
	// epochs it puts on the queue because of what is listed. What is left over is for the next one.
	roundTimeout = 30 * time.Minute
	maxRequests  = 5000
	maxReaudits  = 64
	// maxOpen bounds how many epochs are remembered that nothing is concluded of yet.
	maxOpen = 10_000
)

// Settings say what is looked at again, and when.
type Settings struct {
	// After are the ages of a verdict at which its epoch is looked at again. Without any none is,
	// but at random.
	After []time.Duration
	// History is in about what time all of history is looked at once, at random; 0: never.
	History time.Duration
	// One in SampleOneIn verified epochs is audited again each day, as far as SampleBytes of stored
	// bytes go; 0: none is.
	SampleOneIn int
	SampleBytes int64
}

// Any reports whether anything is looked at again.
func (s Settings) Any() bool { return len(s.After) > 0 || s.History > 0 || s.SampleOneIn > 0 }

// Config says whose epochs are looked at. All fields must be set unless they say otherwise.
type Config struct {
	Settings
	Namespace string
	Store     *auditstore.Store
	Fetcher   *fetcher.Fetcher
	// Log is the log directory, to list many epochs at once. With nil they are listed one by one.
	Log *blob.Bucket
	// Newest returns the newest published epoch, 0 while none is known.
	Newest func() uint64
	// Reaudit puts epochs on the queue to be audited again, unless they are on it for that; Sample
	// does so with those that are in no hurry.
	Reaudit, Sample func(ctx context.Context, epochs []uint64) error
	Incidents       incident.Recorder
	// Period is about how long after a round the next one comes, if no age is shorter.
	Period  time.Duration
	Metrics observe.Metrics // nil measures nothing
	Tracer  observe.Tracer  // nil traces nothing
	Logger  zerolog.Logger
}

// Loop looks again at the epochs of one log. What it remembers saves requests: without it, as after
// a restart, it comes to the same.
type Loop struct {
	config Config

	upTo    time.Time            // everything that came due until then was looked at, or is open
	shardTo map[uint64]time.Time // and until then in some shards, of a round that did not come to its end
	judged  map[uint64]bounds    // of sealed shards: when their verdicts were written
	open    map[uint64]*openEpoch
	marks   []time.Time            // of how far the looking has come, on record
	notices map[string]alert.Alert // of conditions that are open, as they were read last
	sampled sampleState
	slot    time.Duration // how often a part of the day's sample is taken
}

// New returns a loop.
func New(c Config) *Loop {
	return &Loop{
		config: c, shardTo: map[uint64]time.Time{}, judged: map[uint64]bounds{}, open: map[uint64]*openEpoch{},
		notices: map[string]alert.Alert{}, slot: sampleSlot,
	}
}

// period is the time between two rounds.
func (l *Loop) period() time.Duration {
	period := l.config.Period
	for _, age := range l.config.After {
		period = min(period, age/2)
	}
	return max(period, minPeriod)
}

// minPeriod is the shortest time between two rounds.
const minPeriod = 100 * time.Millisecond

// Run does a round each period. Only an end of ctx ends it.
func (l *Loop) Run(ctx context.Context) {
	period := l.period()
	for {
		// Apart from other schedulers, who would look at the same epochs.
		if wait.For(ctx, period/2+rand.N(period)) != nil {
			return
		}
		work, cancel := context.WithTimeout(ctx, roundTimeout)
		end := observe.TracerOr(l.config.Tracer).Round(ctx, "recheck", l.config.Namespace)
		err := newRound(l, time.Now()).run(work)
		cancel()
		end(err)
		if err != nil && ctx.Err() == nil {
			l.config.Logger.Warn().Err(err).Msg("not all that was judged could be looked at again; the next round tries again")
		}
	}
}

// round is one round.
type round struct {
	*Loop
	now       time.Time
	left      int            // requests to the log that are left
	changed   []uint64       // were written anew, and are to be audited again
	gone      []uint64       // often and long enough
	withdrawn []alert.Alert  // on those that are gone, which are open
	overdue   []alert.Alert  // on those of which nothing is known for too long, which are open
	results   map[string]int // how many epochs, by what looking at them came to
}

func newRound(l *Loop, now time.Time) *round {
	return &round{Loop: l, now: now, left: maxRequests, results: map[string]int{}}
}

// run looks at what is due. One thing that fails doesn't keep the others from being done.
//
// What was found is on record before the mark of how far the looking has come, which stays behind
// everything that is open: after a crash the same epochs are looked at again, and what that finds
// is there once.
func (r *round) run(ctx context.Context) error {
	err := r.readConditions(ctx)
	if err != nil && !errors.Is(err, auditstore.ErrCorrupt) {
		return err
	}
	errs := []error{err}
	if len(r.config.After) > 0 {
		errs = append(errs, r.lookAtDue(ctx))
	}
	errs = append(errs, r.lookAtOpen(ctx), r.lookAtAny(ctx), r.enqueue(ctx), r.raiseWithdrawn(ctx), r.resolveWithdrawn(ctx))
	errs = append(errs, r.tellOverdue(ctx, errors.Join(errs...) == nil))
	for result, n := range r.results {
		observe.MetricsOr(r.config.Metrics).Rechecked(r.config.Namespace, result, n)
	}
	if len(r.config.After) > 0 {
		errs = append(errs, r.writeMark(ctx))
	}
	return errors.Join(append(errs, r.sample(ctx, r.now))...)
}

// openEpoch is an epoch that was looked at, and of which nothing can be concluded yet.
type openEpoch struct {
	since   time.Time // when it came due
	next    time.Time // when to look again
	tries   int
	asked   int    // how often it was put on the queue
	result  string // unknown or changed
	absence frontier.Absence
	seen    time.Time // in which round it was looked at last
}
