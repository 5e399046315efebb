package jobs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/ktaudit/ktaudit/blobstore"
)

const (
	// sealPeriod is how many periods of a log lie between two looks for shards that are full, and sealCheckPeriod how many looks
	// between two checks of one that is sealed, by chance. With the usual period that is 5 minutes, and an hour.
	sealPeriod      = 10
	sealCheckPeriod = 12
	// sealTimeout bounds a look. What was sealed until then stays so.
	sealTimeout = time.Hour
	// maxHeadSteps bounds how many verdicts are read in a look to find the last epoch up to which all are verified.
	maxHeadSteps = 5000
)

// sealForEver seals the shards that are full, and now and then holds a sealed one against its verdicts.
func (l *scheduledLog) sealForEver(ctx context.Context) {
	sealer := &Sealer{Store: l.Store, Namespace: l.Namespace, Log: l.log, Metrics: l.Metrics}
	walk := headWalk{next: l.First}
	wait := l.Poll
	for look := 1; ; look++ {
		pause(ctx, wait/2+rand.N(wait)) // apart from other schedulers, who would read the same verdicts
		if ctx.Err() != nil {
			return
		}
		wait = sealPeriod * l.Poll
		work, cancel := context.WithTimeout(ctx, sealTimeout)
		end := l.Tracer.Round(ctx, "seal", l.Namespace)
		err := l.seal(work, sealer, &walk)
		if look%sealCheckPeriod == 0 {
			err = errors.Join(err, sealer.CheckAny(work))
		}
		cancel()
		end(err)
		l.report(ctx, err, "not all of history sealed: will be tried again")
	}
}

// seal seals what is full and, for metrics, goes on with the walk to the last epoch up to which all are verified.
func (l *scheduledLog) seal(ctx context.Context, sealer *Sealer, walk *headWalk) error {
	head := l.head.Load()
	if head < l.First {
		return nil
	}
	_, err := sealer.Seal(ctx, l.First, head)
	if l.Metrics == nil {
		return err
	}
	h, historyErr := readHistory(ctx, l.Store, l.Namespace)
	if historyErr == nil {
		historyErr = walk.advance(ctx, l.Store, h)
		if walk.next > l.First {
			l.verified.Store(walk.next - 1)
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
	if err != nil && !errors.Is(err, blobstore.ErrCorrupt) && !errors.Is(err, blobstore.ErrNewerSchema) {
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

// headWalk is on its way to the last epoch up to which every epoch is verified and begins where the one before ended. Each verdict
// that is not sealed is read once.
type headWalk struct {
	next   uint64 // the epoch after those that are known to be so
	digest string // of the last of these; empty while there is none
	ended  bool   // the next one is rejected or doesn't go on, and that is for ever
}

func (w *headWalk) advance(ctx context.Context, store *blobstore.Store, h blobstore.History) error {
	for steps := 0; steps < maxHeadSteps && !w.ended; steps++ {
		if span := sealedSpan(h, w.next); span != nil {
			w.pass(span.Span)
			continue
		}
		v, err := store.Verdict(ctx, h.Namespace, w.next)
		if errors.Is(err, blobstore.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if v.Outcome != blobstore.Verified || w.digest != "" && v.PreviousDigest != w.digest {
			w.ended = true
			return nil
		}
		w.next, w.digest = v.Epoch+1, v.Digest
	}
	return nil
}

// pass goes through a span, or up to the first epoch in it that is not verified or doesn't go on where the one before ended.
func (w *headWalk) pass(s blobstore.Span) {
	stop := s.To + 1
	for _, r := range s.Rejected {
		if r.Epoch >= w.next {
			stop = min(stop, r.Epoch)
		}
	}
	for _, epoch := range s.Breaks {
		if epoch > w.next || epoch == w.next && w.digest != "" {
			stop = min(stop, epoch)
		}
	}
	if w.next == s.From && w.digest != "" && s.PreviousDigest != "" && w.digest != s.PreviousDigest {
		stop = w.next
	}
	w.next, w.digest, w.ended = stop, s.Digest, stop <= s.To
}

// sealedSpan returns the span with an epoch in it, nil if it is not sealed.
func sealedSpan(h blobstore.History, epoch uint64) *blobstore.SealedSpan {
	for i, span := range h.Spans {
		if span.From <= epoch && epoch <= span.To {
			return &h.Spans[i]
		}
	}
	return nil
}
