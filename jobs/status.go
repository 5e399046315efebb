package jobs

import (
	"context"
	"fmt"
	"math"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/validator"
)

// maxListed bounds how many rejections a Status lists; it counts them all.
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
	// Head is the last epoch up to which every epoch from From on is verified; 0 when From itself is not.
	Head          uint64          `json:"head"`
	VerifiedCount uint64          `json:"verified_count"`
	RejectedCount uint64          `json:"rejected_count"`
	MissingCount  uint64          `json:"missing_count"`
	Verified      []Range         `json:"verified"`
	Gaps          []Range         `json:"gaps"`     // epochs without a verdict
	Rejected      []RejectedEpoch `json:"rejected"` // the first 10,000
	Queues        []QueueCounts   `json:"queues,omitempty"`
	QueueNote     string          `json:"queue_note,omitempty"` // why Queues is empty
}

// Good says whether every epoch of the range is verified.
func (s Status) Good() bool { return s.RejectedCount == 0 && s.MissingCount == 0 }

// ReadStatus reads the status of the epochs from from (0: the first with a verdict) to to (0: the last with a verdict). r
// may be nil; a Redis that does not answer makes a QueueNote and no error.
func ReadStatus(ctx context.Context, store *blobstore.Store, namespace string, from, to uint64, r *Redis) (Status, error) {
	if to != 0 && to < from {
		return Status{}, fmt.Errorf("no epochs from %d to %d", from, to)
	}
	s := Status{Namespace: namespace, From: from, To: to, Verified: []Range{}, Gaps: []Range{}, Rejected: []RejectedEpoch{}}
	last := to
	if to == 0 {
		last = math.MaxUint64
	}
	next := from // the first epoch not accounted for; 0: there is none yet, and the first verdict begins the range
	err := eachJudged(ctx, store, namespace, from, last, func(epochs []uint64) error {
		verdicts, err := readVerdicts(ctx, store, namespace, epochs)
		if err != nil {
			return err
		}
		for _, v := range verdicts {
			if next == 0 {
				s.From, next = v.Epoch, v.Epoch
			}
			s.addGap(next, v.Epoch)
			s.add(v)
			next = v.Epoch + 1
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

func (s *Status) add(v blobstore.Verdict) {
	if v.Outcome == blobstore.Verified {
		s.VerifiedCount++
		if n := len(s.Verified); n > 0 && s.Verified[n-1].To == v.Epoch-1 {
			s.Verified[n-1].To = v.Epoch
		} else {
			s.Verified = append(s.Verified, Range{v.Epoch, v.Epoch})
		}
		return
	}
	s.RejectedCount++
	if len(s.Rejected) < maxListed {
		s.Rejected = append(s.Rejected, RejectedEpoch{v.Epoch, validator.Reason(v.Reason), v.Detail})
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
