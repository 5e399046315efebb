package report

import (
	"cmp"
	"context"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
	"golang.org/x/sync/errgroup"
)

// MaxListed bounds how many rejections a Status lists, which it counts all, and how many breaks.
const MaxListed = 10_000

// RejectedEpoch is a rejection on record.
type RejectedEpoch struct {
	Epoch  uint64         `json:"epoch"`
	Reason verdict.Reason `json:"reason"`
	Detail string         `json:"detail"`
	// Acknowledged, here and below: somebody has dealt with its incident.
	Acknowledged bool `json:"acknowledged,omitempty"`
	// Incident is as in the verdict.
	Incident string `json:"incident,omitempty"`
}

// verdict is as much of its verdict as names the incident.
func (r RejectedEpoch) verdict() verdict.Verdict {
	return verdict.Verdict{Epoch: r.Epoch, Reason: r.Reason, Incident: r.Incident}
}

// Break is where two verified epochs do not belong to one log: the one before ended with the digest
// Expected, and Epoch begins with PreviousDigest.
type Break struct {
	Epoch          uint64 `json:"epoch"`
	PreviousDigest string `json:"previous_digest"`
	Expected       string `json:"expected"`
	// Anchored: Expected is what the anchor says, and not a verdict.
	Anchored     bool `json:"anchored,omitempty"`
	Acknowledged bool `json:"acknowledged,omitempty"`
}

// Status is what the audit store knows about a range of a log's epochs.
type Status struct {
	Namespace string `json:"namespace"`
	// as asked, or the first epoch with a verdict; 0 when there is none
	From uint64 `json:"from"`
	// as asked, or the last epoch with a verdict; 0 when there is none
	To uint64 `json:"to"`
	// Head is the last epoch up to which every epoch from From on is verified and begins where the
	// one before ended, the end of the stretch that begins with From, and which comes before any
	// contradiction that is open; 0 when there is none.
	Head          uint64 `json:"head"`
	VerifiedCount uint64 `json:"verified_count"`
	RejectedCount uint64 `json:"rejected_count"`
	MissingCount  uint64 `json:"missing_count"`
	// of those with a verdict, how many were taken from seals
	SealedCount uint64           `json:"sealed_count"`
	Verified    []epochset.Range `json:"verified"`         // each without a break
	Gaps        []epochset.Range `json:"gaps"`             // epochs without a verdict
	Rejected    []RejectedEpoch  `json:"rejected"`         // the first 10,000
	Breaks      []Break          `json:"breaks,omitempty"` // the first 10,000
	// Chain is what is on record of the names of the same range; nil if they were never walked.
	Chain *ChainStatus `json:"chain,omitempty"`
	// Overruled epochs have a later verdict than their first, which is the one that counts.
	OverruledCount uint64           `json:"overruled_count,omitempty"`
	Overruled      []OverruledEpoch `json:"overruled,omitempty"` // the first 10,000
	// Rollbacks are those among the first 1,000 stretches.
	Rollbacks []Rollback `json:"rollbacks,omitempty"`
	// Stretches are Verified with how each hangs together with the one before: the first 10,000,
	// and of all but the first 1,000 of them that is unknown.
	Stretches []Stretch `json:"stretches,omitempty"`
	// Incidents are open, and about the range or no epoch in particular, the worst first. There are
	// more than these if MoreIncidents.
	Incidents     []incident.Open `json:"incidents,omitempty"`
	MoreIncidents bool            `json:"more_incidents,omitempty"`
	// HeldBackBy is the incident without which Head would be later; empty if there is none.
	HeldBackBy string `json:"held_back_by,omitempty"`
	// Unlisted: there are critical ones that nobody has acknowledged among those that are not
	// listed; UnlistedAcknowledged: that somebody has.
	Unlisted             bool `json:"-"`
	UnlistedAcknowledged bool `json:"-"`
}

// Unanchored reports whether the range begins with another digest than that of the anchor.
func (s Status) Unanchored() bool {
	return len(s.Breaks) > 0 && s.Breaks[0].Anchored && s.Breaks[0].Epoch == s.From
}

// Good reports whether every epoch of the range has a verdict, and nothing is wrong that nobody has
// acknowledged.
func (s Status) Good() bool { return s.MissingCount == 0 && !s.Wrong(false) }

// ReadStatus reads the status of the epochs from from (0: the first with a verdict) to to (0: the
// last with a verdict). The epoch after the anchor must begin with the anchor's digest; if it
// doesn't, that is a break.
//
// It reads every verdict that is not sealed, and is what reports whether the log is one: each
// verdict is about a step from one digest to the next, and only here are all steps held against
// each other. A rejected epoch claims nothing, so no epoch is held against it. Of what is sealed it
// believes the seals; Sealer.Check holds them against the verdicts.
func ReadStatus(ctx context.Context, store *auditstore.Store, namespace string, anchor verdict.Anchor, from, to uint64) (Status, error) {
	if err := epochset.CheckRange(max(from, 1), cmp.Or(to, verdict.MaxEpoch)); err != nil {
		return Status{}, err
	}
	h, err := ReadHistory(ctx, store, namespace)
	if err != nil {
		return Status{}, err
	}
	overruled, err := ReadOverruled(ctx, store, namespace)
	if err != nil {
		return Status{}, err
	}
	s := statusReader{overruled: overruled, Status: Status{
		Namespace: namespace, From: from, To: to, Verified: []epochset.Range{}, Gaps: []epochset.Range{}, Rejected: []RejectedEpoch{},
	}, next: from, anchor: anchor}
	err = Walk(ctx, store, h, max(from, 1), cmp.Or(to, verdict.MaxEpoch), Visitor{
		Sealed: func(span verdict.Span) error {
			s.SealedCount += span.Epochs()
			return overruled.split(span, firstVerdicts(ctx, store, namespace), s.addSpan, s.addVerdict)
		},
		Open: func(epochs []uint64) error {
			verdicts, err := ReadVerdicts(ctx, store, namespace, epochs)
			for i := range verdicts {
				if err == nil {
					err = s.addVerdict(overruled.Newest(verdicts[i]))
				}
			}
			return err
		},
	})
	if err == nil {
		err = s.readDetails(ctx, store)
	}
	if err == nil {
		err = s.readStretches(ctx, store)
	}
	if err != nil {
		return Status{}, err
	}
	s.end(from, to)
	if s.Chain, err = ReadChain(ctx, store, namespace, from, to); err == nil {
		err = s.readIncidents(ctx, store, from, to)
	}
	return s.Status, err
}

// end concludes what was added of the epochs from from to to, as they were asked for.
func (s *statusReader) end(from, to uint64) {
	switch {
	case to != 0 && s.next == 0: // nothing known, and no beginning asked for: epochs begin with 1
		s.From = 1
		s.addGap(1, to+1)
	case to != 0:
		s.addGap(s.next, to+1)
	case s.next > from:
		s.To = s.next - 1
	}
	if len(s.Verified) > 0 && s.Verified[0].From == s.From && !s.Unanchored() {
		s.Head = s.Verified[0].To
	}
}

// statusReader makes a status of what it is given in the order of the epochs.
type statusReader struct {
	Status
	// the first epoch not accounted for; 0: there is none yet, and the first verdict begins the
	// range
	next       uint64
	anchor     verdict.Anchor
	digest     string // after the epoch before next, if that is verified
	sealedOnly []int  // the places in Rejected that only a seal has shown
	overruled  Overruled
}

// addVerdict takes in the verdict that counts for one epoch.
func (s *statusReader) addVerdict(v verdict.Verdict) error {
	one := verdict.Span{From: v.Epoch, To: v.Epoch}
	if v.Outcome == verdict.Verified {
		one.PreviousDigest, one.Digest = v.PreviousDigest, v.Digest
	} else {
		one.Rejected = []verdict.Rejection{{Epoch: v.Epoch, Reason: v.Reason}}
	}
	if o := s.overruled.Of(v.Epoch); o != nil {
		s.OverruledCount++
		if len(s.Overruled) < MaxListed {
			s.Overruled = append(s.Overruled, *o)
		}
	}
	listed := len(s.Rejected)
	err := s.addSpan(one)
	if len(s.Rejected) > listed {
		s.Rejected[listed].Detail, s.Rejected[listed].Incident = v.Detail, v.Incident
		s.sealedOnly = s.sealedOnly[:len(s.sealedOnly)-1]
	}
	return err
}

// addSpan takes in epochs that all have a verdict.
func (s *statusReader) addSpan(span verdict.Span) error {
	if s.next == 0 {
		s.From, s.next = span.From, span.From
	}
	adjacent := s.next == span.From && s.digest != ""
	s.addGap(s.next, span.From)
	breaks := span.Breaks
	if adjacent && verdict.LinkDigests(s.digest, span.PreviousDigest) == verdict.Broken {
		breaks = append([]uint64{span.From}, breaks...)
	}
	if !adjacent && verdict.LinkDigests(s.anchor.DigestBefore(span.From), span.PreviousDigest) == verdict.Broken {
		breaks = append([]uint64{span.From}, breaks...)
	}
	start := span.From
	for _, r := range span.Rejected {
		breaks = s.addVerified(start, r.Epoch-1, adjacent && start == span.From, breaks)
		s.RejectedCount++
		if len(s.Rejected) < MaxListed {
			s.sealedOnly = append(s.sealedOnly, len(s.Rejected))
			s.Rejected = append(s.Rejected, RejectedEpoch{Epoch: r.Epoch, Reason: verdict.Reason(r.Reason)})
		}
		start = r.Epoch + 1
	}
	s.addVerified(start, span.To, adjacent && start == span.From, breaks)
	s.next, s.digest = span.To+1, span.Digest
	return nil
}

// addVerified takes in verified epochs, the first of which may continue the range before. It
// returns the breaks after them.
func (s *statusReader) addVerified(from, to uint64, continues bool, breaks []uint64) []uint64 {
	for from <= to {
		end := to
		if len(breaks) > 0 && breaks[0] == from {
			continues = false
			if len(s.Breaks) < MaxListed {
				s.Breaks = append(s.Breaks, Break{Epoch: from})
			}
			breaks = breaks[1:]
		}
		if len(breaks) > 0 && breaks[0] <= to {
			end = breaks[0] - 1
		}
		s.VerifiedCount += end - from + 1
		if continues {
			s.Verified[len(s.Verified)-1].To = end
		} else {
			s.Verified = append(s.Verified, epochset.Range{From: from, To: end})
		}
		from, continues = end+1, false
	}
	return breaks
}

// readDetails reads the verdicts on what is listed, of which there are few, for what a seal does
// not say. One that is gone does not hide what the seal knows.
func (s *statusReader) readDetails(ctx context.Context, store *auditstore.Store) error {
	var epochs []uint64
	for _, i := range s.sealedOnly {
		epochs = append(epochs, s.Rejected[i].Epoch)
	}
	for _, b := range s.Breaks {
		epochs = append(epochs, b.Epoch-1, b.Epoch)
	}
	verdicts := make([]verdict.Verdict, len(epochs))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(ReadAhead)
	for i, epoch := range epochs {
		group.Go(func() (err error) {
			verdicts[i], err = store.Verdict(groupCtx, s.Namespace, epoch)
			if auditstore.IsLost(err) {
				verdicts[i] = verdict.Verdict{Detail: "its verdict is not what was sealed: " + err.Error()}
				err = nil
			}
			verdicts[i] = s.overruled.Newest(verdicts[i])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, i := range s.sealedOnly {
		s.Rejected[i].Detail, s.Rejected[i].Incident, verdicts = verdicts[0].Detail, verdicts[0].Incident, verdicts[1:]
	}
	for i := range s.Breaks {
		s.Breaks[i].Expected, s.Breaks[i].PreviousDigest, verdicts = verdicts[0].Digest, verdicts[1].PreviousDigest, verdicts[2:]
		if digest := s.anchor.DigestBefore(s.Breaks[i].Epoch); digest != "" {
			s.Breaks[i].Expected, s.Breaks[i].Anchored = digest, true
		}
	}
	return nil
}

// addGap notes that the epochs from start up to, but not including, end have no verdict.
func (s *Status) addGap(start, end uint64) {
	if start < end {
		s.Gaps = append(s.Gaps, epochset.Range{From: start, To: end - 1})
		s.MissingCount += end - start
	}
}
