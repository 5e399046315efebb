package verdict

import "slices"

// Reason says why an epoch was rejected.
type Reason string

// What the batch itself shows, as the validator finds it.
const (
	// MalformedProof: the batch is no audit proof, or its name or compression is damaged.
	MalformedProof Reason = "malformed_proof"
	// NoncanonicalLabel: the proof has a label that no honest tree has.
	NoncanonicalLabel Reason = "noncanonical_label"
	// OverlappingLabels: of two labels one is the other, or a prefix of it.
	OverlappingLabels Reason = "overlapping_labels"
	// PreviousDigestMismatch: the unchanged nodes do not hash to the digest before the epoch.
	PreviousDigestMismatch Reason = "previous_digest_mismatch"
	// DigestMismatch: all nodes together do not hash to the digest after the epoch.
	DigestMismatch Reason = "digest_mismatch"
	// BatchTooLarge: the batch is over the auditor's limits. It was not judged, which is nothing
	// against the log.
	BatchTooLarge Reason = "batch_too_large"
)

// What is around the batch.
const (
	// SignatureInvalid: a signed digest is malformed, not signed by a trusted key, for another
	// epoch or out of order.
	SignatureInvalid Reason = "signature_invalid"
	// SignatureDigestMismatch: another digest was signed than the one that was published.
	SignatureDigestMismatch Reason = "signature_digest_mismatch"
	// Equivocation: the log published more than one batch for the epoch, or one that does not
	// continue, or is not continued by, a neighbouring epoch that was verified.
	Equivocation Reason = "equivocation"
	// DigestReused: the epoch has the digest of an earlier one. A log publishes no epoch that
	// changes nothing.
	DigestReused Reason = "digest_reused"
)

// BrokenChain is no reason of a rejection: it is how two verified epochs contradict each other
// whose digests do not meet.
const BrokenChain Reason = "broken_chain"

// Rollback is no reason of a rejection either: it is how a verified epoch contradicts an earlier
// one, with whose digest it begins though others came between.
const Rollback Reason = "rollback"

// Island is no reason of a rejection either: it is how a verified epoch behind a rejected one
// contradicts all that is known, for it begins with a digest that neither the rejected epoch claims
// nor any epoch before is verified to have ended with.
const Island Reason = "island"

// Reasons returns every reason of a rejection. Whatever counts, shows or simulates reasons asks
// here.
func Reasons() []Reason { return slices.Clone(reasons) }

var reasons = []Reason{
	MalformedProof, NoncanonicalLabel, OverlappingLabels, PreviousDigestMismatch, DigestMismatch, BatchTooLarge,
	SignatureInvalid, SignatureDigestMismatch, Equivocation, DigestReused,
}
