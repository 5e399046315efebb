package worker

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/jobs/share"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
)

// fill puts more epochs in play when half of the window is free. Those with a verdict are finished
// at once.
func (r *run) fill(ctx context.Context) error {
	for r.next <= r.config.To && len(r.open) <= r.config.Window/2 {
		last := min(r.config.To, r.next-1+uint64(r.config.Window-len(r.open)))
		for epoch := r.next; epoch <= last; epoch++ {
			r.open[epoch] = &epochState{}
		}
		from := r.next
		r.next = last + 1
		err := report.Walk(ctx, r.auditor.Store, r.sealed, from, last, report.Visitor{
			Sealed: func(span verdict.Span) error { r.finishSealed(span); return nil },
			Open:   func(epochs []uint64) error { return r.finishJudged(ctx, epochs) },
		})
		if err != nil {
			return err
		}
		if err := r.enqueue(ctx, from, last); err != nil {
			return err
		}
	}
	return nil
}

// enqueue puts the open epochs of a part of the range on the queue, unless they are there. That it
// cannot is no reason to end: the epochs will be taken up without it.
func (r *run) enqueue(ctx context.Context, from, to uint64) error {
	_, err := r.worker.queue.EnqueueEach(ctx, r.auditor.Namespace, queue.Backfill, func(send func(uint64) error) error {
		for _, epoch := range r.unjudged(from, to) {
			if err := send(epoch); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		r.auditor.Log.Warn().Err(err).Msg("epochs cannot be enqueued; they are audited without the queue")
		return nil
	}
	return err
}

func (r *run) unjudged(from, to uint64) []uint64 {
	var epochs []uint64
	for epoch := range r.open {
		if from <= epoch && epoch <= to {
			epochs = append(epochs, epoch)
		}
	}
	slices.Sort(epochs)
	return epochs
}

// finishJudged finishes those of the epochs that are open; all have a verdict, whoever wrote it.
func (r *run) finishJudged(ctx context.Context, epochs []uint64) error {
	epochs = slices.DeleteFunc(epochs, func(epoch uint64) bool { return r.open[epoch] == nil })
	verdicts, err := report.ReadVerdicts(ctx, r.auditor.Store, r.auditor.Namespace, epochs)
	if err != nil {
		return err
	}
	for _, v := range verdicts {
		r.finish(v.Epoch, outcomeCount(&r.summary, v))
	}
	return nil
}

// finishSealed finishes those epochs of a sealed span that are open.
func (r *run) finishSealed(span verdict.Span) {
	for epoch := span.From; epoch <= span.To; epoch++ {
		switch {
		case r.open[epoch] == nil:
		case span.IsRejected(epoch):
			r.finish(epoch, &r.summary.Rejected)
		default:
			r.finish(epoch, &r.summary.Verified)
		}
	}
}

func outcomeCount(s *RunSummary, v verdict.Verdict) *uint64 {
	if v.Outcome == verdict.Verified {
		return &s.Verified
	}
	return &s.Rejected
}

func (r *run) finish(epoch uint64, count *uint64) {
	delete(r.open, epoch)
	if epoch == r.keyless && count != &r.summary.Missing { // somebody else had its key
		r.keyless = 0
	}
	*count++
	r.progressed = time.Now()
	if r.config.Progress != nil {
		r.config.Progress(r.summary)
	}
}

// takeIn takes in how an attempt at an epoch ended. An attempt that was broken off says nothing.
func (r *run) takeIn(a attempt) {
	open := r.open[a.epoch]
	if open == nil {
		return // not ours, or finished
	}
	r.progressed = time.Now()
	r.withoutQueue = r.withoutQueue && !a.queued
	_, contradicted := errors.AsType[*audit.ContradictionError](a.err)
	if a.err != nil && !errors.Is(a.err, context.Canceled) && !errors.Is(a.err, share.ErrReclaimed) {
		open.why, open.againAt = a.err, time.Time{}
	}
	switch {
	case a.err == nil || contradicted:
		r.finish(a.epoch, outcomeCount(&r.summary, a.verdict))
	case errors.Is(a.err, context.Canceled), errors.Is(a.err, share.ErrReclaimed):
	case errors.Is(a.err, audit.ErrTooRecent):
		if open.tooRecentSince.IsZero() {
			open.tooRecentSince = time.Now()
		}
		if after, ok := audit.RetryAfter(a.err); ok {
			open.againAt = time.Now().Add(after)
		}
		open.restsUntil = time.Now().Add(2*r.auditor.MinAge + idleAfter)
	case audit.IsNotYet(a.err):
		if isKeyless := errors.Is(a.err, signature.ErrUnknownKey); isKeyless && (r.keyless == 0 || a.epoch < r.keyless) {
			r.keyless, r.keylessWhy = a.epoch, a.err
		}
		if open.missingSince.IsZero() {
			open.missingSince = time.Now()
		}
		r.giveUp(a.epoch, open)
	default:
		if open.failingSince.IsZero() {
			open.failingSince = time.Now()
		}
	}
}

// hasUntriedBefore reports whether an epoch before another one is still to be tried.
func (r *run) hasUntriedBefore(epoch uint64) bool {
	for before, open := range r.open {
		if before < epoch && open.why == nil {
			return true
		}
	}
	return false
}

// sayKeyless says, once, which epoch is the first that waits for a key.
func (r *run) sayKeyless(ctx context.Context) error {
	if r.keyless == 0 || r.keylessSaid || r.config.Keyless == nil {
		return nil
	}
	r.keylessSaid = true
	return r.config.Keyless(ctx, r.keyless, r.keylessWhy)
}

// giveUp finishes an epoch that was waited for long enough.
func (r *run) giveUp(epoch uint64, open *epochState) {
	switch {
	case !open.missingSince.IsZero() && time.Since(open.missingSince) >= r.config.NotPublishedWait:
		r.finish(epoch, &r.summary.Missing)
	case !open.failingSince.IsZero() && time.Since(open.failingSince) >= r.config.FaultWait,
		!open.tooRecentSince.IsZero() && time.Since(open.tooRecentSince) >= r.config.FaultWait+r.auditor.MinAge:
		r.finish(epoch, &r.summary.Failed)
	}
}

// until returns when an epoch is given up.
func (r *run) until(open *epochState) time.Time {
	switch {
	case !open.missingSince.IsZero():
		return open.missingSince.Add(r.config.NotPublishedWait)
	case !open.failingSince.IsZero():
		return open.failingSince.Add(r.config.FaultWait)
	}
	return open.tooRecentSince.Add(r.config.FaultWait + r.auditor.MinAge)
}

// wait returns the first epoch that is waited for; nil if there is none.
func (r *run) wait() *Wait {
	var first *Wait
	waiting := 0
	for epoch, open := range r.open {
		if open.why == nil {
			continue
		}
		waiting++
		if first == nil || epoch < first.Epoch {
			first = &Wait{Epoch: epoch, Why: open.why.Error(), Until: r.until(open), Again: open.againAt}
		}
	}
	if first != nil {
		first.More = waiting - 1
	}
	return first
}

func (r *run) tick(ctx, working context.Context) error {
	for epoch, open := range r.open {
		r.giveUp(epoch, open)
	}
	if r.config.Waiting != nil {
		r.config.Waiting(r.wait())
	}
	if !r.hasUntriedBefore(r.keyless) {
		if err := r.sayKeyless(ctx); err != nil {
			return err
		}
	}
	if time.Since(r.checked) >= checkEvery && r.worker.queue.IsShared() { // else there are no other workers
		if err := r.checkStore(ctx); err != nil {
			return err
		}
		r.checked = time.Now()
	}
	if r.worker.inFlight.Load() > 0 {
		return nil
	}
	switch {
	case r.withoutQueue: // and the queue has brought nothing since
		r.auditDirectly(working)
	case time.Since(r.progressed) >= idleAfter:
		if err := r.enqueue(ctx, 0, r.next); err != nil {
			return err
		}
		r.auditDirectly(working)
	}
	return nil
}

// checkStore finishes what other workers have judged.
func (r *run) checkStore(ctx context.Context) error {
	shards := map[uint64]bool{}
	for epoch := range r.open {
		shards[epoch/verdict.EpochsPerShard] = true
	}
	for shard := range shards {
		epochs, err := r.auditor.Store.Epochs(ctx, r.auditor.Namespace, shard)
		if err != nil {
			return err
		}
		if err := r.finishJudged(ctx, epochs); err != nil {
			return err
		}
	}
	return nil
}

// auditDirectly audits some epochs that the queue has not brought, without it. They may lie with a
// worker that died, or Redis may have lost them or be gone. Should another worker be at one of
// them, both come to the same verdict.
func (r *run) auditDirectly(working context.Context) {
	r.withoutQueue, r.progressed = true, time.Now()
	free := r.config.Worker.Concurrency
	for _, epoch := range r.unjudged(0, r.next) {
		open := r.open[epoch]
		if free == 0 {
			return
		}
		// Else it rests before its next try.
		if open.missingSince.IsZero() && open.failingSince.IsZero() && time.Now().After(open.restsUntil) {
			free--
			r.direct.Go(func() { _ = r.worker.audit(working, r.auditor, epoch, nil) })
		}
	}
}
