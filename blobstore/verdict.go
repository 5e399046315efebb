package blobstore

import "time"

// Schema is the version of the Verdict layout that this program writes.
const Schema = 1

// Outcome of a Verdict.
const (
	Verified = "verified"
	Rejected = "rejected"
)

// Verdict is what ktaudit concluded about one epoch. It is written once and never changed.
type Verdict struct {
	Schema         int       `json:"schema"`
	Namespace      string    `json:"namespace"`
	Epoch          uint64    `json:"epoch"`
	PreviousDigest string    `json:"previous_digest"`
	Digest         string    `json:"digest"`
	Outcome        string    `json:"outcome"`
	Reason         string    `json:"reason,omitempty"`
	Detail         string    `json:"detail,omitempty"`
	Inserted       int       `json:"inserted"`
	Unchanged      int       `json:"unchanged"`
	Batch          Batch     `json:"batch"`
	Signature      Signature `json:"signature"`
	StartedAt      time.Time `json:"started_at"`
	FinishedAt     time.Time `json:"finished_at"`
	VerifySeconds  float64   `json:"verify_seconds"`
	Software       string    `json:"software"`
}

// Batch describes the object that was judged.
type Batch struct {
	Key         string `json:"key"`
	Bytes       int64  `json:"bytes"`        // after decompression
	StoredBytes int64  `json:"stored_bytes"` // as published
	Compression string `json:"compression"`  // none, zstd, gzip or s2
	SHA256      string `json:"sha256"`       // of the stored bytes, hexadecimal
}

// Signature says what was known of the epoch's signed digest.
type Signature struct {
	Status    string `json:"status"` // verified, absent or not_required
	KeyID     *uint8 `json:"key_id,omitempty"`
	Timestamp uint64 `json:"timestamp,omitempty"` // milliseconds since 1970
}
