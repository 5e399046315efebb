package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
)

// The outcomes of checking a signature, a proof, or both. They are values in JSON.
const (
	outcomeRejected  = "rejected"
	outcomeRoot      = "root"      // a proof that need not be: the epoch is where the auditor begins
	outcomeUnchecked = "unchecked" // because nobody asked for it, or there is nothing to check
	outcomeUnknown   = "unknown"   // what it takes to check it is not there
	outcomeRefused   = "refused"   // the auditor's keys have changed
)

// auditedEpoch is what became of one signed epoch.
type auditedEpoch struct {
	Auditor        string `json:"auditor,omitempty"`
	Namespace      string `json:"namespace"`
	Epoch          uint64 `json:"epoch"`
	Outcome        string `json:"outcome"` // the worse of the two below
	Ciphersuite    uint32 `json:"ciphersuite,omitempty"`
	Timestamp      uint64 `json:"timestamp,omitempty"` // milliseconds since 1970
	Digest         string `json:"digest,omitempty"`
	PreviousDigest string `json:"previous_digest,omitempty"`
	Signature      string `json:"signature,omitempty"`
	KeyID          *uint8 `json:"key_id,omitempty"`
	VerifyingKey   string `json:"verifying_key,omitempty"` // that made the signature
	Trust          string `json:"trust,omitempty"`         // given, pinned or first_use

	SignatureOutcome string `json:"signature_outcome"`
	SignatureError   string `json:"signature_error,omitempty"`
	ProofOutcome     string `json:"proof_outcome"`
	ProofReason      string `json:"proof_reason,omitempty"`
	ProofError       string `json:"proof_error,omitempty"`

	Inserted      int      `json:"inserted,omitempty"`
	Unchanged     int      `json:"unchanged,omitempty"`
	Bytes         int64    `json:"bytes,omitempty"`
	StoredBytes   int64    `json:"stored_bytes,omitempty"`
	SHA256        string   `json:"sha256,omitempty"`
	VerifySeconds float64  `json:"verify_seconds,omitempty"`
	NotChecked    []string `json:"not_checked,omitempty"`
}

// describe fills in what a signed digest says.
func (e *auditedEpoch) describe(s signature.SignedDigest) {
	e.Namespace, e.Epoch, e.Ciphersuite, e.Timestamp, e.KeyID = s.Namespace, s.Epoch, s.Ciphersuite, s.Timestamp, &s.KeyID
	e.Digest, e.Signature = hex.EncodeToString(s.Digest[:]), hex.EncodeToString(s.Signature[:])
}

func (e *auditedEpoch) rejectSignature(err error) {
	e.SignatureOutcome, e.SignatureError = outcomeRejected, err.Error()
}

func (e *auditedEpoch) rejectProof(format string, args ...any) {
	e.ProofOutcome, e.ProofError = outcomeRejected, fmt.Sprintf(format, args...)
}

func (e *auditedEpoch) leaveProof(format string, args ...any) {
	e.ProofOutcome, e.ProofError = outcomeUnknown, fmt.Sprintf(format, args...)
}

// take fills in what verifying the proof came to.
func (e *auditedEpoch) take(r result) {
	e.ProofOutcome, e.ProofReason, e.ProofError = r.Outcome, r.Reason, r.Detail
	if r.Outcome == outcomeMissing {
		e.leaveProof("the log directory has no proof of the epoch")
	}
	e.Inserted, e.Unchanged, e.Bytes, e.StoredBytes, e.SHA256, e.VerifySeconds = r.Inserted, r.Unchanged, r.Bytes, r.StoredBytes, r.SHA256, r.VerifySeconds
}

// conclude sets the outcome, and what people might think was checked.
func (e *auditedEpoch) conclude() {
	verified := string(validator.Verified)
	switch {
	case e.SignatureOutcome == outcomeRejected || e.ProofOutcome == outcomeRejected:
		e.Outcome = outcomeRejected
	case e.SignatureOutcome == outcomeUnchecked && e.ProofOutcome == outcomeUnchecked:
		e.Outcome = outcomeUnchecked
	case e.SignatureOutcome == verified && (e.ProofOutcome == verified || e.ProofOutcome == outcomeRoot):
		e.Outcome = verified
	case e.SignatureOutcome == verified && e.ProofOutcome == outcomeUnchecked:
		e.Outcome = verified // as was asked
	default:
		e.Outcome = outcomeUnknown
	}
	if e.SignatureOutcome == outcomeUnchecked {
		e.NotChecked = append(e.NotChecked, "the signature")
	}
	switch e.ProofOutcome {
	case outcomeUnchecked:
		e.NotChecked = append(e.NotChecked, "the proof that the log only grew")
	case outcomeRoot:
		e.NotChecked = append(e.NotChecked, "how the log came to this digest: the auditor begins at this epoch, for which there is no proof")
	}
	if e.Trust == trustFirstUse {
		e.NotChecked = append(e.NotChecked, "whether the key is the auditor's: it is trusted from this first use on")
	}
	if e.Outcome == verified {
		e.NotChecked = append(e.NotChecked, "other epochs, and whether others are shown the same digest")
	}
}

// remoteAudit checks what an auditor signed.
type remoteAudit struct {
	client    *client.Client
	namespace string
	keys      *trustedKeys
	proofs    func(validator.Name) input // nil: there are none
	root      verdict.Anchor
	last      *client.LastVerified // what the auditor says that it verified; nil if it was not asked
	verifier  verifier

	mu     sync.Mutex
	signed map[uint64]signature.SignedDigest // of neighbours, so that each is asked for once
}

// signedDigest asks for the signed digest of an epoch.
func (r *remoteAudit) signedDigest(ctx context.Context, epoch uint64) (signature.SignedDigest, error) {
	r.mu.Lock()
	s, ok := r.signed[epoch]
	r.mu.Unlock()
	if ok {
		return s, nil
	}
	_, s, err := r.client.Audit(ctx, r.namespace, epoch)
	if err != nil {
		return s, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.signed == nil || len(r.signed) > 64 {
		r.signed = map[uint64]signature.SignedDigest{}
	}
	r.signed[epoch] = s
	return s, nil
}

// isStatement reports whether an error is about what an auditor said, and not about reaching it.
func isStatement(err error) bool {
	for _, target := range []error{
		signature.ErrMalformed, signature.ErrInvalid, signature.ErrMismatch, signature.ErrDigestMismatch, signature.ErrBackwards, signature.ErrUnknownKey,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// check checks the signed digest of an epoch and the proof behind it. An error says nothing about
// the auditor or its log.
func (r *remoteAudit) check(ctx context.Context, epoch uint64) (auditedEpoch, error) {
	e := auditedEpoch{
		Auditor: r.client.URL(), Namespace: r.namespace, Epoch: epoch,
		SignatureOutcome: outcomeUnchecked, ProofOutcome: outcomeUnchecked,
	}
	err := r.checkSigned(ctx, &e)
	e.conclude()
	return e, err
}

func (r *remoteAudit) checkSigned(ctx context.Context, e *auditedEpoch) error {
	s, err := r.signedDigest(ctx, e.Epoch)
	if isStatement(err) {
		e.rejectSignature(err)
		return nil
	} else if err != nil {
		return err
	}
	e.describe(s)
	if r.keys == nil {
		return nil
	}
	if err := e.verifySignature(s, r.keys); err != nil || e.SignatureOutcome != string(validator.Verified) {
		return err
	}
	if r.last != nil && r.last.Epoch == e.Epoch && r.last.EndHash != e.Digest {
		e.rejectSignature(fmt.Errorf("the auditor says that it verified digest %s, and signed %s", r.last.EndHash, e.Digest))
		return nil
	}
	return r.checkProof(ctx, e, s)
}

// verifySignature returns an error only if the key could not be remembered.
func (e *auditedEpoch) verifySignature(s signature.SignedDigest, keys *trustedKeys) (err error) {
	e.VerifyingKey, err = keys.signer(s)
	switch {
	case isStatement(err):
		e.rejectSignature(err)
		return nil
	case err != nil:
		return err
	}
	e.SignatureOutcome, e.Trust = string(validator.Verified), keys.how
	return nil
}

func (r *remoteAudit) checkProof(ctx context.Context, e *auditedEpoch, s signature.SignedDigest) error {
	switch {
	case r.root.IsZero():
	case e.Epoch < r.root.Epoch:
		e.rejectProof("the epoch is before epoch %d, at which the auditor says that it begins", r.root.Epoch)
		return nil
	case e.Epoch == r.root.Epoch && e.Digest == r.root.Digest:
		e.ProofOutcome = outcomeRoot
		return nil
	case e.Epoch == r.root.Epoch:
		e.rejectProof("the auditor says that it begins with digest %s, and signed %s", r.root.Digest, e.Digest)
		return nil
	}
	if e.Epoch == 0 {
		e.leaveProof("epoch 0 has no proof, and the auditor does not say that it begins there")
		return nil
	}
	previous, err := r.signedDigest(ctx, e.Epoch-1)
	switch {
	case errors.Is(err, client.ErrNotFound):
		e.leaveProof("the auditor has no signed digest of epoch %d, with which the proof begins", e.Epoch-1)
		return nil
	case err == nil:
		_, err = r.keys.signer(previous)
	}
	if isStatement(err) {
		e.rejectProof("the signed digest of epoch %d, with which the proof begins: %v", e.Epoch-1, err)
		return nil
	} else if err != nil {
		return err
	}
	e.PreviousDigest = hex.EncodeToString(previous.Digest[:])
	if err := signature.CheckOrder(previous, s); err != nil {
		e.rejectSignature(err)
		return nil
	}
	if r.last != nil && r.last.Epoch == e.Epoch && r.last.StartHash != e.PreviousDigest {
		e.rejectProof("the auditor says that it verified a proof from digest %s on, and signed %s for the epoch before", r.last.StartHash, e.PreviousDigest)
		return nil
	}
	if r.proofs == nil {
		e.leaveProof("the auditor names no log directory: give --log-directory")
		return nil
	}
	in := r.proofs(validator.Name{Epoch: e.Epoch, PreviousDigest: previous.Digest, Digest: s.Digest})
	judged, err := r.verifier.verifyPatiently(ctx, in, e.Epoch)
	if err != nil {
		return err
	}
	e.take(judged)
	return nil
}

// maxProofAttempts is how often a proof is asked for that breaks off.
const maxProofAttempts = 3

// verifyPatiently is verify that reads again what broke off.
func (v verifier) verifyPatiently(ctx context.Context, in input, epoch uint64) (r result, err error) {
	for range maxProofAttempts {
		if r, err = v.verify(ctx, in, epoch); err == nil || ctx.Err() != nil || !fetcher.Transient(err) {
			break
		}
	}
	return r, err
}
