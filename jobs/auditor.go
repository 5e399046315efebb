package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/rs/zerolog"
	"gocloud.dev/blob"
)

// Reasons of a rejection beyond the validator's.
const (
	SignatureInvalid        validator.Reason = "signature_invalid"
	SignatureDigestMismatch validator.Reason = "signature_digest_mismatch"
	Equivocation            validator.Reason = "equivocation"
	DigestReused            validator.Reason = "digest_reused"
)

// ErrNoSignature: keys are configured and the epoch has no signed digest yet. Retry later.
var ErrNoSignature = errors.New("not signed yet")

// IsNotYet says whether err means that the log has not published all of an epoch yet: no fault, and no verdict.
func IsNotYet(err error) bool {
	return errors.Is(err, fetcher.ErrNotPublished) || errors.Is(err, ErrNoSignature)
}

// ContradictionError says that an epoch was judged again and found otherwise than the verdict on record, which stays.
// Both are kept under evidence/ in the audit store.
type ContradictionError struct {
	Recorded, Found blobstore.Verdict
}

func (e *ContradictionError) Error() string {
	return fmt.Sprintf("epoch %d: found %s, on record is %s", e.Found.Epoch, describe(e.Found), describe(e.Recorded))
}

// AuditorConfig says how one log is audited.
type AuditorConfig struct {
	Namespace     string
	Configuration validator.Configuration
	Limits        validator.Options // MaxElements and MaxBytes; Workers is set from the cores that are free
	Fetcher       *fetcher.Fetcher
	Store         *blobstore.Store

	// Keys are the trusted keys. Without any, signed digests are not looked at and a verdict says not_required.
	Keys signature.Keys
	// Signatures holds the log's signed digests as "{epoch}.json". Nil means the audit store's own signatures/.
	Signatures *blob.Bucket
	// First is the epoch the audit starts at. The epoch before it is nobody's job, so its signed digest is used if it
	// is there and not waited for. 0 means 1.
	First uint64

	Archive  bool    // keep every batch's stored bytes in the audit store, not only those of rejected epochs
	Budget   *Budget // memory in flight, shared by all auditors of a process; nil means NewBudget(0)
	Software string  // goes into verdicts, such as "ktaudit v0.1.0"
	Log      zerolog.Logger
}

// Auditor takes single epochs of one log all the way from the log directory to a verdict in the audit store. It knows
// no queue and may be used by any number of goroutines.
type Auditor struct {
	AuditorConfig
}

// NewAuditor checks c and fills in its defaults.
func NewAuditor(c AuditorConfig) (*Auditor, error) {
	return &Auditor{c}, nil
}

// Audit returns the epoch's verdict, which is on record in the audit store when Audit returns. A rejection is a verdict
// and no error.
//
// An error means that there is no verdict: the epoch or its signed digest is not published yet (IsNotYet), or something
// went wrong on the way that a retry may find gone. The exception is *ContradictionError, which comes with the verdict on
// record and which a retry would not see again. Panics come back as errors.
func (a *Auditor) Audit(ctx context.Context, epoch uint64) (blobstore.Verdict, error) {
	return blobstore.Verdict{}, errors.New("not built yet")
}

func describe(v blobstore.Verdict) string {
	if v.Outcome == blobstore.Rejected {
		return fmt.Sprintf("rejected (%s) %s", v.Reason, v.Batch.Key)
	}
	return v.Outcome + " " + v.Batch.Key
}
