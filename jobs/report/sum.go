package report

import (
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

// Sum makes a Status of what its caller has read, for whoever looks again and again and reads each
// verdict once. What takes reads of its own is left out: what is said of rejections and breaks
// beside their epochs, rollbacks, how stretches hang together, names and incidents.
type Sum struct {
	r    statusReader
	from uint64
}

// NewSum begins with the epoch from; 0: with the first that is added.
func NewSum(namespace string, anchor verdict.Anchor, from uint64, o Overruled) *Sum {
	return &Sum{from: from, r: statusReader{overruled: o, anchor: anchor, next: from, Status: Status{
		Namespace: namespace, From: from, Verified: []epochset.Range{}, Gaps: []epochset.Range{}, Rejected: []RejectedEpoch{},
	}}}
}

// Add takes in epochs that all have a verdict, after those that were added before. Where an
// overruled epoch cuts the span, read returns the first verdicts around it.
func (s *Sum) Add(span verdict.Span, read func(epoch uint64) (verdict.Verdict, error)) error {
	return s.r.overruled.split(span, read, s.r.addSpan, s.r.addVerdict)
}

// Status concludes. What is open limits the head.
func (s *Sum) Status(open incident.List) Status {
	s.r.end(s.from, 0)
	s.r.Head, s.r.HeldBackBy = open.Limit(max(s.r.From, 1), s.r.Head)
	return s.r.Status
}

// Epochs are the overruled epochs, ascending.
func (o Overruled) Epochs() []uint64 { return o.epochs }
