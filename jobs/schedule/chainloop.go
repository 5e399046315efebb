package schedule

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/chain"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

const (
	// minChainPeriod is the shortest time between two rounds.
	minChainPeriod = time.Minute
	// chainTimeout bounds a round.
	chainTimeout = 2 * time.Hour
)

// chainLoop walks a log's names: new ones as they come, and all of them now and then.
type chainLoop struct {
	config   Config
	progress *progress
	log      zerolog.Logger
}

// run does a round each period. Only an end of ctx ends it.
func (c *chainLoop) run(ctx context.Context) {
	if c.config.Names == nil {
		return
	}
	period := max(minChainPeriod, sealPeriod*c.config.Poll)
	for {
		// Apart from other schedulers, who would walk the same names.
		if wait.For(ctx, period/2+rand.N(period)) != nil {
			return
		}
		work, cancel := context.WithTimeout(ctx, chainTimeout)
		end := observe.TracerOr(c.config.Tracer).Round(ctx, "chain", c.config.Namespace)
		err := c.round(work, time.Now())
		cancel()
		end(err)
		logFailure(ctx, c.log, err, "the log's names were not walked to their end; the next round tries again")
	}
}

// round walks the names that are new, or all if the last walk of all, by whomever, is long ago.
func (c *chainLoop) round(ctx context.Context, now time.Time) error {
	newest := c.progress.published()
	if newest < c.config.First {
		return nil
	}
	on, err := c.config.Store.Chain(ctx, c.config.Namespace)
	whole := err != nil || now.Sub(on.WalkedAt) >= c.config.ChainEvery
	var r chain.Result
	if whole {
		r, err = c.config.Names.Walk(ctx)
	} else {
		r, err = c.config.Names.Extend(ctx, newest)
	}
	if err != nil {
		return err
	}
	found := r.Chain.Coverage(c.config.First, 0)
	observe.MetricsOr(c.config.Metrics).SetChain(c.config.Namespace, observe.ChainState{
		WalkedAt: r.Chain.WalkedAt, Chained: found.Count(),
		Gaps: verdict.CountEpochs(found.Gaps), Doubles: verdict.CountEpochs(found.Doubles), Breaks: uint64(len(found.Breaks)),
	})
	return nil
}
