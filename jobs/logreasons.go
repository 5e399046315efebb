package jobs

import "github.com/ktaudit/ktaudit/validator"

// Reasons of a rejection beyond the validator's.
const (
	// SignatureInvalid: a signed digest is malformed, not signed by a trusted key, for another epoch or out of order.
	SignatureInvalid validator.Reason = "signature_invalid"
	// SignatureDigestMismatch: another digest was signed than the one that was published.
	SignatureDigestMismatch validator.Reason = "signature_digest_mismatch"
	// Equivocation: the log published more than one batch for the epoch, or one that does not continue, or is not continued by,
	// a neighbouring epoch that was verified.
	Equivocation validator.Reason = "equivocation"
	// DigestReused: the epoch has the digest of the one before. An epoch that changed nothing is none that a log publishes.
	DigestReused validator.Reason = "digest_reused"
)

// BrokenChain is.
const BrokenChain validator.Reason = "broken_chain"
