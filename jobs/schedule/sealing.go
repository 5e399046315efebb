package schedule

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/jobs/seal"
	"github.com/ktaudit/ktaudit/verdict"
)

const (
	// sealPeriod is how many periods of a log lie between two looks for shards that are full, and sealCheckPeriod how many looks
	// between two checks of one that is sealed, by chance. With the usual period that is 5 minutes, and an hour.
	sealPeriod      = 10
	sealCheckPeriod = 12
	// sealTimeout bounds a look. What was sealed until then stays so.
	sealTimeout = time.Hour
)

// sealForEver seals the shards that are full, and now and then holds a sealed one against its verdicts.
func (l *scheduledLog) sealForEver(ctx context.Context) {
	sealer := &seal.Sealer{Store: l.Store, Namespace: l.Namespace, Log: l.log, Metrics: l.Metrics}
	walk := report.NewHeadWalk(l.First)
	period := l.Poll
	for look := 1; ; look++ {
		// Apart from other schedulers, who would read the same verdicts.
		if wait.For(ctx, period/2+rand.N(period)) != nil {
			return
		}
		period = sealPeriod * l.Poll
		work, cancel := context.WithTimeout(ctx, sealTimeout)
		end := observe.TracerOr(l.Tracer).Round(ctx, "seal", l.Namespace)
		err := l.seal(work, sealer, walk)
		if look%sealCheckPeriod == 0 {
			err = errors.Join(err, sealer.CheckAny(work))
		}
		cancel()
		end(err)
		l.report(ctx, err, "not all of history sealed: will be tried again")
	}
}

// seal seals what is full and, for metrics, goes on with the walk to the last epoch up to which all are verified.
func (l *scheduledLog) seal(ctx context.Context, sealer *seal.Sealer, walk *report.HeadWalk) error {
	head := l.head.Load()
	if head < l.First {
		return nil
	}
	_, err := sealer.Seal(ctx, l.First, head)
	if l.Metrics == nil {
		return err
	}
	h, historyErr := report.ReadHistory(ctx, l.Store, l.Namespace)
	if historyErr == nil {
		historyErr = walk.Advance(ctx, l.Store, h)
		if head := walk.Head(); head > 0 {
			l.verified.Store(head)
		}
	}
	return errors.Join(err, historyErr)
}

// skipSealed has the backfills pass over the shards that are sealed, so that after a restart only the others are listed.
func (l *scheduledLog) skipSealed(ctx context.Context) error {
	if l.sealsKnown {
		return nil
	}
	h, err := l.Store.History(ctx, l.Namespace)
	// Of one that is corrupt whoever seals next makes a new one; one of a later version says nothing to this one.
	if err != nil && !errors.Is(err, auditstore.ErrCorrupt) && !errors.Is(err, verdict.ErrNewerSchema) {
		return fmt.Errorf("what is sealed of %s: %w", l.Namespace, err)
	}
	for _, b := range l.history {
		for _, span := range h.Spans {
			for shard := max(span.First(), b.low); shard <= span.Last(); shard++ {
				b.complete[shard] = struct{}{}
			}
		}
		b.passComplete()
	}
	l.sealsKnown = true
	return nil
}
