package jobs

import (
	"cmp"
	"context"
	"fmt"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/validator"
)

// maxListed bounds how many rejections a Status lists, which it counts all, and how many breaks.
const maxListed = 10_000

// Range is a run of epochs, both ends included.
type Range struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// RejectedEpoch is a rejection on record.
type RejectedEpoch struct {
	Epoch  uint64           `json:"epoch"`
	Reason validator.Reason `json:"reason"`
	Detail string           `json:"detail"`
}

// Break is where two verified epochs do not belong to one log: the one before ended with the digest Expected, and Epoch
// begins with PreviousDigest.
type Break struct {
	Epoch          uint64 `json:"epoch"`
	PreviousDigest string `json:"previous_digest"`
	Expected       string `json:"expected"`
}

// QueueCounts says how many tasks of one class are in which state.
type QueueCounts struct {
	Queue    string `json:"queue"`
	Class    Class  `json:"class"`
	Pending  int    `json:"pending"`
	Active   int    `json:"active"`
	Retry    int    `json:"retry"`
	Archived int    `json:"archived"`
	Paused   bool   `json:"paused"`
}

// Status is what the audit store knows about a range of a log's epochs.
type Status struct {
	Namespace string `json:"namespace"`
	From      uint64 `json:"from"` // as asked, or the first epoch with a verdict; 0 when there is none
	To        uint64 `json:"to"`   // as asked, or the last epoch with a verdict; 0 when there is none
	// Head is the last epoch up to which every epoch from From on is verified and begins where the one before ended; 0
	// when From itself is not verified.
	Head          uint64          `json:"head"`
	VerifiedCount uint64          `json:"verified_count"`
	RejectedCount uint64          `json:"rejected_count"`
	MissingCount  uint64          `json:"missing_count"`
	Verified      []Range         `json:"verified"`         // each without a break
	Gaps          []Range         `json:"gaps"`             // epochs without a verdict
	Rejected      []RejectedEpoch `json:"rejected"`         // the first 10,000
	Breaks        []Break         `json:"breaks,omitempty"` // the first 10,000
	Queues        []QueueCounts   `json:"queues,omitempty"`
	QueueNote     string          `json:"queue_note,omitempty"` // why Queues is empty
}

// Good says whether every epoch of the range is verified, and all are epochs of one log.
func (s Status) Good() bool { return s.RejectedCount == 0 && s.MissingCount == 0 && len(s.Breaks) == 0 }

// ReadStatus reads the status of the epochs from from (0: the first with a verdict) to to (0: the last with a verdict). r
// may be nil; a Redis that does not answer makes a QueueNote and no error.
//
// It reads every verdict, and is what says whether the log is one: each verdict is about a step from one digest to the next,
// and only here are all steps held against each other. A rejected epoch claims nothing, so no epoch is held against it.
func ReadStatus(ctx context.Context, store *blobstore.Store, namespace string, from, to uint64, r *Redis) (Status, error) {
	if err := checkRange(max(from, 1), cmp.Or(to, blobstore.MaxEpoch)); err != nil {
		return Status{}, err
	}
	s := Status{Namespace: namespace, From: from, To: to, Verified: []Range{}, Gaps: []Range{}, Rejected: []RejectedEpoch{}}
	var before blobstore.Verdict
	next := from // the first epoch not accounted for; 0: there is none yet, and the first verdict begins the range
	err := eachJudged(ctx, store, namespace, from, cmp.Or(to, blobstore.MaxEpoch), func(epochs []uint64) error {
		verdicts, err := readVerdicts(ctx, store, namespace, epochs)
		if err != nil {
			return err
		}
		for _, v := range verdicts {
			if next == 0 {
				s.From, next = v.Epoch, v.Epoch
			}
			s.addGap(next, v.Epoch)
			s.add(before, v)
			before, next = v, v.Epoch+1
		}
		return nil
	})
	if err != nil {
		return Status{}, err
	}
	switch {
	case to != 0 && next == 0: // nothing known, and no beginning asked for: epochs begin with 1
		s.From = 1
		s.addGap(1, to+1)
	case to != 0:
		s.addGap(next, to+1)
	case next > from:
		s.To = next - 1
	}
	if len(s.Verified) > 0 && s.Verified[0].From == s.From {
		s.Head = s.Verified[0].To
	}
	if r != nil {
		s.readQueues(r)
	}
	return s, nil
}

// add takes in a verdict; before is the one added last.
func (s *Status) add(before, v blobstore.Verdict) {
	if v.Outcome != blobstore.Verified {
		s.RejectedCount++
		if len(s.Rejected) < maxListed {
			s.Rejected = append(s.Rejected, RejectedEpoch{v.Epoch, validator.Reason(v.Reason), v.Detail})
		}
		return
	}
	s.VerifiedCount++
	follows := before.Outcome == blobstore.Verified && before.Epoch+1 == v.Epoch
	broken := follows && before.Digest != v.PreviousDigest
	if broken && len(s.Breaks) < maxListed {
		s.Breaks = append(s.Breaks, Break{v.Epoch, v.PreviousDigest, before.Digest})
	}
	if follows && !broken {
		s.Verified[len(s.Verified)-1].To = v.Epoch
	} else {
		s.Verified = append(s.Verified, Range{v.Epoch, v.Epoch})
	}
}

// addGap notes that the epochs from start up to, but not including, end have no verdict.
func (s *Status) addGap(start, end uint64) {
	if start < end {
		s.Gaps = append(s.Gaps, Range{start, end - 1})
		s.MissingCount += end - start
	}
}

func (s *Status) readQueues(r *Redis) {
	for _, c := range classes {
		counts, err := queueCounts(r.inspector(), s.Namespace, c)
		if err != nil {
			s.Queues = nil
			s.QueueNote = fmt.Sprintf("redis at %s does not answer: %v", r, err)
			return
		}
		s.Queues = append(s.Queues, counts)
	}
}
