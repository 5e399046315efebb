package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
)

// ErrNoSignature: keys are configured, and an epoch has no signed digest yet. Retry later.
var ErrNoSignature = errors.New("not signed yet")

// previousOverdue is how long after an epoch was signed the signed digest of the epoch before it
// may still come.
const previousOverdue = 24 * time.Hour

// signatureCheck is what an epoch's signed digests show.
type signatureCheck struct {
	record   verdict.Signature
	reason   verdict.Reason // of a rejection, or empty
	detail   string
	verified []byte              // the epoch's own signed digest, if it is good
	evidence []incident.Evidence // what a rejection rests on
}

// checkSignatures holds the signed digests of an epoch and of the one before it against the name of
// its batch.
//
// The epoch's own must be there: until it is, the answer is ErrNoSignature. While its key is none
// that is trusted for the epoch, the answer is signature.ErrUnknownKey: who signed it is not known,
// and is for the operator to say. If it is wrong, the epoch is rejected.
//
// The one before it must be there too, under a trusted key, but for three exceptions: its epoch has
// a verdict that rests on one, the epoch is the first of the audit, or was itself signed so long
// ago that nobody will sign the one before any more. Then the epoch is judged by its own signed
// digest. Nothing is verified for it that is not signed: an epoch before it without a verdict is a
// gap that status shows and that its head does not pass. If the one before is wrong, see
// checkPrevious.
func (a *Auditor) checkSignatures(ctx context.Context, name validator.Name) (signatureCheck, error) {
	if a.Keys.Len() == 0 {
		return signatureCheck{record: verdict.Signature{Status: verdict.SignatureNotRequired}}, nil
	}
	current, data, err := a.signedDigest(ctx, name.Epoch, name.Digest)
	found := signatureCheck{record: verdict.Signature{Status: verdict.SignatureRejected}}
	evidence := []incident.Evidence{{Kind: "signed-digest", Data: data, Extension: ".json"}}
	if err == nil {
		found.record = verdict.Signature{
			Status: verdict.SignatureVerified, KeyID: &current.KeyID, Timestamp: current.Timestamp,
		}
		found.verified = data
		data, err = a.checkPrevious(ctx, name, current)
		evidence = append(evidence, incident.Evidence{Kind: "signed-digest-before", Data: data, Extension: ".json"})
	}
	if err != nil {
		if found.reason = rejectionFor(err); found.reason == "" {
			return signatureCheck{}, err
		}
		found.detail, found.evidence = err.Error(), evidence
	}
	return found, nil
}

// checkPrevious judges an epoch by the signed digest of the epoch before it, which it returns.
//
// One that is wrong by itself (not signed by a trusted key, say) is that epoch's fault and its
// rejection, not this one's. One that is for another digest than this epoch begins with is the
// fault of whichever disagrees with the batch that was published before: the signed digest, or this
// epoch. Nobody judges the epoch before the first, so the first answers for both.
//
// Where the source has none that is good, the verdict on the epoch before counts, if it rests on
// one that was. Whether this epoch begins where that one ended is then for confirm to say.
func (a *Auditor) checkPrevious(ctx context.Context, name validator.Name, current signature.SignedDigest) ([]byte, error) {
	if name.Epoch <= 1 {
		return nil, nil
	}
	first := name.Epoch <= a.First
	previous, data, err := a.signedDigest(ctx, name.Epoch-1, name.PreviousDigest)
	switch {
	case err == nil:
		return data, a.checkOrder(ctx, previous, current)
	case errors.Is(err, signature.ErrDigestMismatch) && !first:
		return data, a.whoseFault(ctx, name, err)
	case !isUnsigned(err) && rejectionFor(err) == "":
		return nil, err
	}
	recorded, recordErr := a.neighbour(ctx, name.Epoch-1)
	signedAt := time.UnixMilli(int64(min(current.Timestamp, math.MaxInt64)))
	switch {
	case recordErr != nil:
		return nil, recordErr
	case recorded.Outcome == verdict.Verified && recorded.Signature.Status == verdict.SignatureVerified:
		return nil, signature.CheckOrder(signature.SignedDigest{Epoch: recorded.Epoch, Timestamp: recorded.Signature.Timestamp}, current)
	case isUnsigned(err) && !first && time.Since(signedAt) <= previousOverdue:
		return nil, err // wait for it
	case first && rejectionFor(err) != "":
		return data, err
	}
	return nil, nil
}

// checkOrder is signature.CheckOrder, but for an epoch before that was verified as signed in time:
// it was signed again since, as with a new key, and that is nobody's fault.
func (a *Auditor) checkOrder(ctx context.Context, previous, current signature.SignedDigest) error {
	wrong := signature.CheckOrder(previous, current)
	if wrong == nil {
		return nil
	}
	recorded, err := a.neighbour(ctx, previous.Epoch)
	if err != nil {
		return err
	}
	if recorded.Outcome == verdict.Verified && recorded.Signature.Status == verdict.SignatureVerified {
		previous.Timestamp = recorded.Signature.Timestamp
		return signature.CheckOrder(previous, current)
	}
	return wrong
}

// whoseFault returns mismatch if it is this epoch's fault that the epoch before was signed for
// another digest than this one begins with, and nil if the batch that was published before agrees
// with this epoch.
func (a *Auditor) whoseFault(ctx context.Context, name validator.Name, mismatch error) error {
	published, err := a.locate(ctx, name.Epoch-1)
	switch {
	case err == nil && published.Name.Digest == name.PreviousDigest:
		return nil
	case err == nil || fetcher.Reason(err) != "":
		return mismatch
	}
	return err
}

// signedDigest returns an epoch's signed digest in both its forms, verified and for the digest
// given. One that is wrong comes as bytes only; it is read twice, should it have been replaced at
// that moment.
func (a *Auditor) signedDigest(ctx context.Context, epoch uint64, digest validator.Digest) (signature.SignedDigest, []byte, error) {
	signed, data, _, err := a.readSigned(ctx, epoch, digest)
	if rejectionFor(err) == "" {
		return signed, data, err
	}
	_, again, written, errAgain := a.readSigned(ctx, epoch, digest)
	switch {
	case errAgain != nil && rejectionFor(errAgain) == "":
		return signed, nil, errAgain
	case !bytes.Equal(again, data):
		return signed, nil, fmt.Errorf("signed digest of epoch %d changed while it was checked", epoch)
	case errors.Is(err, signature.ErrDigestMismatch) || errors.Is(err, signature.ErrMismatch):
		return signed, data, err // the signature is good: nothing is missing from it
	}
	if tooRecent := a.oldEnough(written, err); tooRecent != nil {
		err = tooRecent
	}
	return signed, data, err
}

// readSigned reads an epoch's signed digest and checks it. It returns the bytes also where they are
// wrong, and when the source says they were written.
func (a *Auditor) readSigned(ctx context.Context, epoch uint64, digest validator.Digest) (signed signature.SignedDigest, data []byte, written time.Time, err error) {
	if a.Signatures != nil {
		data, written, err = signature.BucketSource{Bucket: a.Signatures}.Get(ctx, epoch)
	} else {
		data, err = a.Store.Signature(ctx, a.Namespace, epoch)
	}
	if errors.Is(err, signature.ErrNotFound) || errors.Is(err, auditstore.ErrNotFound) {
		err = fmt.Errorf("epoch %d: %w", epoch, ErrNoSignature)
	}
	if err == nil {
		signed, err = a.checkSigned(data, epoch, digest)
	}
	return signed, data, written, err
}

func (a *Auditor) checkSigned(data []byte, epoch uint64, digest validator.Digest) (signature.SignedDigest, error) {
	signed, err := signature.Parse(data)
	if err != nil {
		return signed, fmt.Errorf("epoch %d: %w", epoch, err)
	}
	if err := a.Keys.Verify(signed); err != nil {
		return signed, err
	}
	return signed, signature.Check(signed, a.Namespace, epoch, digest)
}

// isUnsigned reports whether an epoch lacks a signed digest that says anything, so far.
func isUnsigned(err error) bool {
	return errors.Is(err, ErrNoSignature) || errors.Is(err, signature.ErrUnknownKey)
}

// rejectionFor returns the reason to reject an epoch for what is wrong with a signed digest, or
// nothing for other errors.
func rejectionFor(err error) verdict.Reason {
	if errors.Is(err, signature.ErrDigestMismatch) {
		return verdict.SignatureDigestMismatch
	}
	for _, wrong := range []error{signature.ErrMalformed, signature.ErrInvalid, signature.ErrMismatch, signature.ErrBackwards} {
		if errors.Is(err, wrong) {
			return verdict.SignatureInvalid
		}
	}
	return ""
}
