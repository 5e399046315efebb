package evidence

import (
	"time"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
)

// Kind is that of the evidence that a Collector makes: findings, and batches beside them.
const (
	Kind      = "findings"
	BatchKind = "batch"
)

// Schema is the version of Findings that this program writes.
const Schema = 1

// Findings are what was there when something was found to be wrong with an epoch. It is all
// ktaudit's word, but for the batches and signed digests, which speak for themselves.
type Findings struct {
	Schema    int            `json:"schema"`
	Namespace string         `json:"namespace"`
	Epoch     uint64         `json:"epoch"`
	At        time.Time      `json:"at"`
	Software  string         `json:"software"`
	Reason    verdict.Reason `json:"reason"`
	Detail    string         `json:"detail"`
	// Batches are those concerned, MoreBatches how many further ones were not looked at.
	Batches       []Batch           `json:"batches"`
	MoreBatches   int               `json:"more_batches,omitempty"`
	Listings      []fetcher.Listing `json:"listings"`
	SignedDigests []SignedDigest    `json:"signed_digests"`
}

// Batch is a batch that is concerned.
type Batch struct {
	Epoch       uint64    `json:"epoch"`
	Key         string    `json:"key"` // in the log directory
	StoredBytes int64     `json:"stored_bytes,omitempty"`
	SHA256      string    `json:"sha256,omitempty"` // of the stored bytes
	ModifiedAt  time.Time `json:"modified_at,omitzero"`
	// Kept is where the audit store has it: the name of a piece of evidence on this epoch, or
	// "archive". It is empty where the bytes are not kept; NotKept says why.
	Kept    string  `json:"kept,omitempty"`
	NotKept string  `json:"not_kept,omitempty"`
	Judged  *Judged `json:"judged,omitempty"` // nil: not judged for this
}

// Judged is what the validator made of a batch.
type Judged struct {
	Outcome   string         `json:"outcome"`
	Reason    verdict.Reason `json:"reason,omitempty"`
	Detail    string         `json:"detail,omitempty"`
	Inserted  int            `json:"inserted"`
	Unchanged int            `json:"unchanged"`
}

// SignedDigest is an epoch's signed digest as it was read, unchecked.
type SignedDigest struct {
	Epoch uint64 `json:"epoch"`
	From  string `json:"from"` // "log" or "audit store"
	Data  []byte `json:"data,omitempty"`
	// Error is why there is none; an absence says nothing against anybody.
	Error string `json:"error,omitempty"`
}

// JudgedOf is what the validator made of a batch, JudgedBy what a verdict says of it.
func JudgedOf(r validator.Result) Judged {
	return Judged{Outcome: string(r.Outcome), Reason: r.Reason, Detail: r.Detail, Inserted: r.Inserted, Unchanged: r.Unchanged}
}

func JudgedBy(v verdict.Verdict) Judged {
	return Judged{Outcome: v.Outcome, Reason: v.Reason, Detail: v.Detail, Inserted: v.Inserted, Unchanged: v.Unchanged}
}
