package seal

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/jobs/verdictcheck"
	"github.com/ktaudit/ktaudit/verdict"
)

const (
	// checkPeriod is how many rounds lie between two checks of a sealed shard, by chance. With the
	// usual period of 5 minutes that is an hour.
	checkPeriod = 12
	// roundTimeout bounds a round. What was sealed until then stays so.
	roundTimeout = time.Hour
	// stretchShare is how many times as long as a look at all stretches took lies at least between
	// two: in a log whose shards cannot be sealed it reads every verdict.
	stretchShare = 20
)

// Loop seals a log's full shards, and now and then checks a sealed one against its verdicts and
// looks at how all stretches hang together. All fields must be set unless they say otherwise.
type Loop struct {
	Sealer *Sealer
	First  uint64 // epoch of the audit
	Anchor verdict.Anchor
	// Newest returns the newest published epoch, one before First while none is known.
	Newest func() uint64
	// OnHead is given the last epoch up to which all are verified. With no Metrics in the Sealer it
	// is never called.
	OnHead func(epoch uint64)
	// The first round comes after about Soon, each of the others a Period after the one before.
	Soon, Period time.Duration
	Tracer       observe.Tracer // nil traces nothing
}

// Run seals in each period. Only an end of ctx ends it.
func (l Loop) Run(ctx context.Context) {
	walk := report.NewHeadWalk(l.First, l.Anchor)
	period := l.Soon
	var stretchesDue time.Time
	for round := 1; ; round++ {
		// Apart from other schedulers, who would read the same verdicts.
		if wait.For(ctx, period/2+rand.N(period)) != nil {
			return
		}
		period = l.Period
		work, cancel := context.WithTimeout(ctx, roundTimeout)
		end := observe.TracerOr(l.Tracer).Round(ctx, "seal", l.Sealer.Namespace)
		err := l.seal(work, walk)
		if round%checkPeriod == 0 {
			err = errors.Join(err, l.Sealer.CheckAny(work))
		}
		if began := time.Now(); began.After(stretchesDue) {
			err = errors.Join(err, l.Sealer.CheckStretches(work, l.First, l.Anchor))
			stretchesDue = time.Now().Add(max(checkPeriod*l.Period, stretchShare*time.Since(began)))
		}
		cancel()
		end(err)
		if err != nil && ctx.Err() == nil {
			l.Sealer.Log.Warn().Err(err).Msg("not all full shards were sealed; the next round tries again")
		}
	}
}

// seal completes the index of digests, seals what is full and, for metrics, goes on with the walk
// to the last epoch up to which all are verified.
func (l Loop) seal(ctx context.Context, walk *report.HeadWalk) error {
	newest := l.Newest()
	if newest < l.First {
		return nil
	}
	err := verdictcheck.CompleteIndex(ctx, l.Sealer.Store, l.Sealer.Namespace)
	_, sealErr := l.Sealer.Seal(ctx, l.First, newest)
	err = errors.Join(err, sealErr)
	if l.Sealer.Metrics == nil {
		return err
	}
	h, historyErr := report.ReadHistory(ctx, l.Sealer.Store, l.Sealer.Namespace)
	if historyErr == nil {
		historyErr = errors.Join(walk.Advance(ctx, l.Sealer.Store, h), l.showHead(ctx, walk.Head()))
	}
	return errors.Join(err, historyErr)
}

// showHead says how far all is verified, but for what is behind a contradiction.
func (l Loop) showHead(ctx context.Context, head uint64) error {
	if head == 0 {
		return nil
	}
	open, err := incident.ReadList(ctx, l.Sealer.Store, l.Sealer.Namespace)
	if err != nil {
		return err
	}
	head, _ = open.Limit(l.First, head)
	l.OnHead(head)
	return nil
}
