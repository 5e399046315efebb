package verdict

// What a verdict says of the epoch's signed digest: the values of Signature.Status.
const (
	SignatureVerified    = "verified"
	SignatureRejected    = "invalid"      // the epoch's own was wrong
	SignatureNotRequired = "not_required" // no key is trusted, or the epoch was rejected before
)
