package chain

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

const (
	// minPeriod is the shortest time between two rounds.
	minPeriod = time.Minute
	// roundTimeout bounds a round.
	roundTimeout = 2 * time.Hour
)

// Loop walks a log's names: new ones as they come, and all of them now and then. All fields must be
// set unless they say otherwise.
type Loop struct {
	Walker *Walker
	First  uint64 // epoch of the audit
	// Newest returns the newest published epoch, one before First while none is known.
	Newest func() uint64
	// Period is about how long after a round the next one comes, and Whole how long after a walk of
	// all names, by whomever, the next such walk.
	Period, Whole time.Duration
	Metrics       observe.Metrics // nil measures nothing
	Tracer        observe.Tracer  // nil traces nothing
	Log           zerolog.Logger
}

// Run does a round each period. Only an end of ctx ends it.
func (l Loop) Run(ctx context.Context) {
	period := max(minPeriod, l.Period)
	for {
		// Apart from other schedulers, who would walk the same names.
		if wait.For(ctx, period/2+rand.N(period)) != nil {
			return
		}
		work, cancel := context.WithTimeout(ctx, roundTimeout)
		end := observe.TracerOr(l.Tracer).Round(ctx, "chain", l.Walker.config.Namespace)
		err := l.round(work, time.Now())
		cancel()
		end(err)
		if err != nil && ctx.Err() == nil {
			l.Log.Warn().Err(err).Msg("the log's names were not walked to their end; the next round tries again")
		}
	}
}

// round walks the names that are new, or all if the last walk of all, by whomever, is long ago.
func (l Loop) round(ctx context.Context, now time.Time) error {
	newest := l.Newest()
	if newest < l.First {
		return nil
	}
	on, err := l.Walker.config.Store.Chain(ctx, l.Walker.config.Namespace)
	whole := err != nil || now.Sub(on.WalkedAt) >= l.Whole
	var r Result
	if whole {
		r, err = l.Walker.Walk(ctx)
	} else {
		r, err = l.Walker.Extend(ctx, newest)
	}
	if err != nil {
		return err
	}
	found := r.Chain.Coverage(l.First, 0)
	observe.MetricsOr(l.Metrics).SetChain(l.Walker.config.Namespace, observe.ChainState{
		WalkedAt: r.Chain.WalkedAt, Chained: found.Count(),
		Gaps: verdict.CountEpochs(found.Gaps), Doubles: verdict.CountEpochs(found.Doubles), Breaks: uint64(len(found.Breaks)),
	})
	return nil
}
