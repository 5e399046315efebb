package report

import (
	"context"
	"errors"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
)

// maxHeadSteps bounds how many verdicts are read in a call of Advance to find the last epoch up to
// which all are verified.
const maxHeadSteps = 5000

// HeadWalk is on its way to the last epoch up to which every epoch is verified and begins where the
// one before ended. Each verdict that is not sealed is read once.
type HeadWalk struct {
	first  uint64 // epoch of the audit
	Next   uint64 // the epoch after those that are known to be so
	digest string // of the last of these; empty while there is none
	ended  bool   // the next one is rejected or doesn't go on, which only an overruling changes
	anchor verdict.Anchor
	// overruled is how often epochs had been overruled when the walk began
	overruled uint64
}

// NewHeadWalk starts at the first epoch of an audit. If it is the one after the anchor, it must
// begin with the anchor's digest.
func NewHeadWalk(first uint64, anchor verdict.Anchor) *HeadWalk {
	return &HeadWalk{first: first, Next: first, digest: anchor.DigestBefore(first), anchor: anchor}
}

// Head returns the last epoch that the walk has come to; 0 if it has come to none.
func (w *HeadWalk) Head() uint64 {
	if w.Next == w.first {
		return 0
	}
	return w.Next - 1
}

// Advance goes on from where it stopped, through what is sealed and the verdicts after it. It
// begins anew once another epoch was overruled.
func (w *HeadWalk) Advance(ctx context.Context, store *auditstore.Store, h verdict.History) error {
	overruled, err := ReadOverruled(ctx, store, h.Namespace)
	if err != nil {
		return err
	}
	if times := overruled.times(); times != w.overruled {
		*w = *NewHeadWalk(w.first, w.anchor)
		w.overruled = times
	}
	for steps := 0; steps < maxHeadSteps && !w.ended; steps++ {
		if span := sealedSpan(h, w.Next); span != nil {
			if err := overruled.split(span.Span, firstVerdicts(ctx, store, h.Namespace), w.passPart, w.step); err != nil {
				return err
			}
			continue
		}
		v, err := store.Verdict(ctx, h.Namespace, w.Next)
		if errors.Is(err, auditstore.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := w.step(overruled.Newest(v)); err != nil {
			return err
		}
	}
	return nil
}

// step goes on to the next epoch, if the verdict is on that.
func (w *HeadWalk) step(v verdict.Verdict) error {
	switch {
	case w.ended || v.Epoch != w.Next:
	case v.Outcome != verdict.Verified || verdict.LinkDigests(w.digest, v.PreviousDigest) == verdict.Broken:
		w.ended = true
	default:
		w.Next, w.digest = v.Epoch+1, v.Digest
	}
	return nil
}

// passPart is pass for a part of a span, if the next epoch is in it.
func (w *HeadWalk) passPart(s verdict.Span) error {
	if !w.ended && s.From <= w.Next && w.Next <= s.To {
		w.pass(s)
	}
	return nil
}

// pass goes through a span, or up to the first epoch in it that is not verified or doesn't go on
// where the one before ended.
func (w *HeadWalk) pass(s verdict.Span) {
	stop := s.To + 1
	for _, r := range s.Rejected {
		if r.Epoch >= w.Next {
			stop = min(stop, r.Epoch)
		}
	}
	for _, epoch := range s.Breaks {
		if epoch > w.Next || epoch == w.Next && w.digest != "" {
			stop = min(stop, epoch)
		}
	}
	if w.Next == s.From && verdict.LinkDigests(w.digest, s.PreviousDigest) == verdict.Broken {
		stop = w.Next
	}
	w.Next, w.digest, w.ended = stop, s.Digest, stop <= s.To
}

// sealedSpan returns the span with an epoch in it, nil if it is not sealed.
func sealedSpan(h verdict.History, epoch uint64) *verdict.SealedSpan {
	for i, span := range h.Spans {
		if span.From <= epoch && epoch <= span.To {
			return &h.Spans[i]
		}
	}
	return nil
}
