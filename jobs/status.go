package jobs

import (
	"context"
	"errors"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/validator"
)

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
	From      uint64 `json:"from"` // as asked, or the first epoch with a verdict
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

// ReadStatus reads the status of the epochs from from (0: the first with a verdict) to to (0: the last with a verdict).
// r may be nil; a Redis that does not answer makes a QueueNote and no error.
func ReadStatus(ctx context.Context, store *blobstore.Store, namespace string, from, to uint64, r *Redis) (Status, error) {
	return Status{}, errors.New("not built yet")
}
