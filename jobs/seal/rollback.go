package seal

import (
	"context"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/jobs/verdictcheck"
	"github.com/ktaudit/ktaudit/verdict"
)

// maxLaterStarts bounds at how many sealed epochs a rollback to a shard that is sealed after them
// is looked for.
const maxLaterStarts = 10_000

func (s *Sealer) checker() verdictcheck.Checker {
	return verdictcheck.Checker{Namespace: s.Namespace, Store: s.Store, Incidents: s.incidents()}
}

// raiseRollbacks raises an alert on each of a shard's verdicts with which the log goes back.
func (s *Sealer) raiseRollbacks(ctx context.Context, verdicts []verdict.Verdict) error {
	before, err := s.Store.Verdict(ctx, s.Namespace, verdicts[0].Epoch-1)
	if err != nil && !auditstore.IsLost(err) && !auditstore.IsUnreadable(err) {
		return err
	}
	starts := map[uint64]verdict.Verdict{}
	for _, v := range verdicts {
		if v.Outcome == verdict.Verified && verdict.Between(before, v) != verdict.Linked {
			starts[v.Epoch] = v
		}
		before = v
	}
	return s.checker().RecordRollbacks(ctx, starts)
}

// raiseLaterRollbacks raises an alert on each epoch that was sealed before, comes later and goes
// back to one of the shard's.
func (s *Sealer) raiseLaterRollbacks(ctx context.Context, h *verdict.History, seal verdict.Seal) error {
	own := map[string]bool{}
	for _, prefix := range seal.Digests {
		own[prefix] = true
	}
	delete(own, "") // of those that were rejected
	var later []uint64
	for _, span := range h.Spans {
		if span.From > seal.To {
			later = append(later, span.Starts()...)
		}
	}
	starts := map[uint64]verdict.Verdict{}
	for _, epoch := range later[:min(len(later), maxLaterStarts)] {
		begin, known := s.begins[epoch]
		if known && !own[verdict.DigestPrefix(begin)] {
			continue
		}
		v, err := s.Store.Verdict(ctx, s.Namespace, epoch)
		if auditstore.IsLost(err) {
			continue // whoever checks its seal raises it
		}
		if err != nil {
			return err
		}
		if s.begins == nil {
			s.begins = map[uint64]string{}
		}
		s.begins[epoch] = v.PreviousDigest
		if own[verdict.DigestPrefix(v.PreviousDigest)] {
			starts[epoch] = v
		}
	}
	return s.checker().RecordRollbacks(ctx, starts)
}

// CheckStretches raises an alert on each rollback and island that the status of an audit shows,
// sealed or not. It finds those that no look at new verdicts could: where earlier epochs were
// judged after later ones, or before the index of digests was whole. It reads what a status does,
// every verdict that is not sealed.
func (s *Sealer) CheckStretches(ctx context.Context, first uint64, anchor verdict.Anchor) error {
	status, err := report.ReadStatus(ctx, s.Store, s.Namespace, anchor, first, 0)
	if err != nil {
		return err
	}
	starts := map[uint64]verdict.Verdict{}
	for _, stretch := range status.Stretches {
		if stretch.BackTo == 0 && !stretch.Contradicts() || s.raised[stretch.From] {
			continue
		}
		v, err := s.Store.NewestVerdict(ctx, s.Namespace, stretch.From)
		if err != nil {
			return err
		}
		starts[stretch.From] = v
	}
	if err := s.checker().RecordRollbacks(ctx, starts); err != nil {
		return err
	}
	for epoch := range starts {
		if s.raised == nil {
			s.raised = map[uint64]bool{}
		}
		s.raised[epoch] = true
	}
	return nil
}
