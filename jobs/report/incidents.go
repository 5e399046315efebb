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
	for i, r := range s.Rejected {
		s.Rejected[i].Acknowledged = all.Acknowledged(RejectionIncident(r.Epoch, r.Reason, s.overruled.Of(r.Epoch)))
	}
	for i, b := range s.Breaks {
		// That the log does not begin where the anchor says is no incident: nothing is judged then.
		s.Breaks[i].Acknowledged = !b.Anchored && all.Acknowledged(alert.BrokenChainIncident(b.Epoch))
	}
	for i, r := range s.Rollbacks {
		s.Rollbacks[i].Acknowledged = all.Acknowledged(alert.BrokenChainIncident(r.Epoch))
	}
	if s.Chain != nil {
		s.Chain.acknowledge(all)
	}
	in := all.In(from, to)
	s.Incidents, s.MoreIncidents = in.Open, in.More
	s.Head, s.HeldBackBy = all.Limit(max(s.From, 1), s.Head)
	return nil
}

// RejectionIncident is the incident that a rejection is acknowledged by. What was acknowledged of
// an earlier verdict does not count for that of an overruling.
func RejectionIncident(epoch uint64, reason verdict.Reason, overruled *OverruledEpoch) string {
	if overruled != nil {
		return alert.OverruledIncident(epoch, overruled.Number)
	}
	return alert.VerdictIncident(epoch, reason)
}

// acknowledge notes whether all contradictions of the names are acknowledged.
func (s *ChainStatus) acknowledge(all incident.List) {
	s.Acknowledged = s.contradicts()
	for _, epoch := range s.Breaks {
		s.Acknowledged = s.Acknowledged && all.Acknowledged(alert.BrokenChainIncident(epoch))
	}
	for _, r := range s.Doubles {
		for epoch := r.From; epoch <= r.To && s.Acknowledged; epoch++ { // ends with the first that is not
			s.Acknowledged = all.Acknowledged(alert.DoubleNameIncident(epoch))
		}
	}
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
	open := incident.List{Open: s.Incidents, More: s.MoreIncidents}
	unlisted := s.RejectedCount > uint64(len(s.Rejected))
	return unlisted || open.Wrong(strict) || s.Chain.contradicts() && counts(s.Chain.Acknowledged)
}
