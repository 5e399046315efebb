package validator

// Reason says why a proof was rejected. It is empty for a verified one.
type Reason string

const (
	// MalformedProof: the bytes are not an encoding of an audit proof.
	MalformedProof Reason = "malformed_proof"
	// NoncanonicalLabel: an inserted label is not 256 bits, an unchanged one has none, or a bit is set past the length.
	NoncanonicalLabel Reason = "noncanonical_label"
	// OverlappingLabels: two labels are equal, or one is a prefix of the other.
	OverlappingLabels Reason = "overlapping_labels"
	// PreviousDigestMismatch: the unchanged nodes do not hash to the digest before the epoch.
	PreviousDigestMismatch Reason = "previous_digest_mismatch"
	// DigestMismatch: all nodes together do not hash to the digest after the epoch.
	DigestMismatch Reason = "digest_mismatch"
	// BatchTooLarge: the proof is larger than the Options allow.
	BatchTooLarge Reason = "batch_too_large"
)
