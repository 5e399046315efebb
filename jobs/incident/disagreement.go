package incident

import (
	"context"
	"errors"
	"strings"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

// Who says which digest an epoch has, unless it is an auditor, which is named by its URL.
const (
	ByLog       = "log"          // in its directory
	ByOurselves = "this auditor" // to whom the log posted it
)

// Disagreement is the evidence that an epoch does not have the same digest everywhere, or that a
// signer took what was rejected. Signed statements speak for themselves; the others are this
// auditor's word.
type Disagreement struct {
	Epoch      uint64      `json:"epoch"`
	Statements []Statement `json:"statements"`
}

// Statement is what somebody says of an epoch.
type Statement struct {
	By string `json:"by"`
	// Namespace is the log's name where it was said, if that is another one.
	Namespace string `json:"namespace,omitempty"`
	Digest    string `json:"digest"`
	// Evidence is the name of the signed digest among the evidence, Key what it is signed with, in
	// hexadecimal; empty for what is not signed, or was not checked.
	Evidence string `json:"evidence,omitempty"`
	Key      string `json:"key,omitempty"`
	// Answer is the question to which an auditor said so, if it is not signed.
	Answer string `json:"answer,omitempty"`
	// PreviousDigest, BatchKey, BatchSHA256 and Outcome are those of the verdict on what the log
	// published.
	PreviousDigest string `json:"previous_digest,omitempty"`
	BatchKey       string `json:"batch_key,omitempty"`
	BatchSHA256    string `json:"batch_sha256,omitempty"`
	Outcome        string `json:"outcome,omitempty"`

	// Signed is the signed digest, in JSON.
	Signed []byte `json:"-"`
}

// StatementOf is what the log published, as a verdict has it.
func StatementOf(v verdict.Verdict) Statement {
	return Statement{
		By: ByLog, Digest: v.Digest, PreviousDigest: v.PreviousDigest, BatchKey: v.Batch.Key, BatchSHA256: v.Batch.SHA256,
		Outcome: v.Outcome,
	}
}

// RecordDisagreement puts statements on record, at the epoch of an alert, and then raises that. The
// batches are those concerned.
//
// A crash in between leaves evidence without an incident, and whoever made the statements is asked
// again: what is found then is on record once.
func (r Recorder) RecordDisagreement(ctx context.Context, a alert.Alert, batches []Batch, statements ...Statement) error {
	level := zerolog.ErrorLevel
	if known, err := r.IsRecorded(ctx, a); known && err == nil { // it is found again in each round
		level = zerolog.DebugLevel
	}
	r.Log.WithLevel(level).Uint64("epoch", a.Epoch).Str("detail", a.Detail).Msg(a.Summary)
	for i := range statements {
		s := &statements[i]
		if len(s.Signed) == 0 {
			continue
		}
		e := Evidence{Kind: "signed-digest", Data: s.Signed, Extension: ".json"}
		if err := r.PutEvidence(ctx, a.Namespace, a.Epoch, e); err != nil {
			return err
		}
		s.Evidence = e.Name()
	}
	e, err := EvidenceOf(strings.ReplaceAll(string(a.Kind), "_", "-"), Disagreement{a.Epoch, statements})
	if err != nil {
		return err
	}
	concern := Concern{Epoch: a.Epoch, Reason: verdict.Reason(a.Kind), Detail: a.Detail, Batches: batches}
	if err := r.PutEvidenceOn(ctx, a.Namespace, concern, e); err != nil {
		return err
	}
	return r.Raise(ctx, a)
}

// IsRecorded reports whether the incident of an alert is on record. One that cannot be read is.
func (r Recorder) IsRecorded(ctx context.Context, a alert.Alert) (bool, error) {
	_, err := r.Store.Incidents(a.Namespace).Incident(ctx, objectName(a.Incident))
	if errors.Is(err, auditstore.ErrNotFound) {
		return false, nil
	}
	if errors.Is(err, auditstore.ErrCorrupt) {
		return true, nil
	}
	return err == nil, err
}
