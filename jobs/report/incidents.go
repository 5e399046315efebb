package report

import (
	"context"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/verdict"
)

// readIncidents adds what is open to a status, and what is acknowledged of what the status found by
// itself. from and to are the range as it was asked for.
func (s *statusReader) readIncidents(ctx context.Context, store *auditstore.Store, from, to uint64) error {
	all, err := incident.ReadList(ctx, store, s.Namespace)
	if err != nil {
		return err
	}
	if err := s.readAcknowledged(ctx, all); err != nil {
		return err
	}
	in := all.In(from, to)
	s.Incidents, s.MoreIncidents, s.Unlisted, s.UnlistedAcknowledged = in.Open, in.More, in.Unlisted, in.UnlistedAcknowledged
	s.Head, s.HeldBackBy = all.Limit(max(s.From, 1), s.Head)
	return nil
}

// readAcknowledged notes what is acknowledged of what the status found by itself.
func (s *statusReader) readAcknowledged(ctx context.Context, all incident.List) (err error) {
	for i, r := range s.Rejected {
		if s.Rejected[i].Acknowledged, err = all.Acknowledged(ctx, RejectionIncident(r.verdict(), s.overruled.Of(r.Epoch))); err != nil {
			return err
		}
	}
	for i, b := range s.Breaks {
		if b.Anchored {
			continue // that the log does not begin where the anchor says is no incident: nothing is judged then
		}
		if s.Breaks[i].Acknowledged, err = all.Covers(ctx, alert.OfBreak(s.Namespace, b.Epoch, b.Expected, b.PreviousDigest)); err != nil {
			return err
		}
	}
	for i, r := range s.Rollbacks {
		if s.Rollbacks[i].Acknowledged, err = all.Covers(ctx, alert.OfRollback(s.Namespace, r.Epoch, r.To, r.PreviousDigest)); err != nil {
			return err
		}
	}
	for i, stretch := range s.Stretches {
		if !stretch.Contradicts() {
			continue
		}
		if s.Stretches[i].Acknowledged, err = all.Covers(ctx, alert.OfIsland(s.Namespace, stretch.From, stretch.Claimed, stretch.PreviousDigest)); err != nil {
			return err
		}
	}
	if s.Chain != nil {
		s.Chain.Acknowledged, err = s.Chain.isAcknowledged(ctx, s.Namespace, all)
	}
	return err
}

// RejectionIncident is the incident that a rejection is acknowledged by. What was acknowledged of
// an earlier verdict does not count for that of an overruling.
func RejectionIncident(v verdict.Verdict, overruled *OverruledEpoch) string {
	if overruled != nil {
		return alert.OverruledIncident(v.Epoch, overruled.Number)
	}
	return alert.VerdictIncident(v)
}

// isAcknowledged reports whether all contradictions of the names are acknowledged.
func (s *ChainStatus) isAcknowledged(ctx context.Context, namespace string, all incident.List) (bool, error) {
	for i, epoch := range s.Breaks {
		covered, err := all.Covers(ctx, alert.OfBreak(namespace, epoch, s.BreakDigests[i][0], s.BreakDigests[i][1]))
		if err != nil || !covered {
			return false, err
		}
	}
	for _, r := range s.Doubles {
		for epoch := r.From; epoch <= r.To; epoch++ { // ends with the first that is not
			if !all.CoversDoubles(epoch) {
				return false, nil
			}
		}
	}
	return s.contradicts(), nil
}

// Wrong reports whether anything was found that is wrong: a rejection, a contradiction, or another
// incident that is critical. Unless strict, what is acknowledged does not count. Epochs without a
// verdict are not wrong.
func (s Status) Wrong(strict bool) bool {
	counts := func(acknowledged bool) bool { return strict || !acknowledged }
	for _, r := range s.Rejected {
		if counts(r.Acknowledged) {
			return true
		}
	}
	for _, b := range s.Breaks {
		if counts(b.Acknowledged) {
			return true
		}
	}
	for _, r := range s.Rollbacks {
		if counts(r.Acknowledged) {
			return true
		}
	}
	for _, stretch := range s.Stretches {
		if stretch.Contradicts() && counts(stretch.Acknowledged) {
			return true
		}
	}
	open := incident.List{Open: s.Incidents, Unlisted: s.Unlisted, UnlistedAcknowledged: s.UnlistedAcknowledged}
	unlisted := s.RejectedCount > uint64(len(s.Rejected))
	return unlisted || open.Wrong(strict) || s.Chain.contradicts() && counts(s.Chain.Acknowledged)
}
