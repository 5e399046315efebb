package verdict

// Link is how an epoch hangs together with the one before it.
type Link int

const (
	// Unknown: one of the two claims nothing, for it has no verdict or was rejected.
	Unknown Link = iota
	// Linked: the later epoch starts from the digest that the earlier one ended with.
	Linked
	// Broken: it starts from another one, so the two are not epochs of one log.
	Broken
)

// LinkDigests compares the digest that an epoch ended with and the one that the next epoch starts
// from. An empty one is not known.
//
// This is the one rule for how two epochs link.
func LinkDigests(end, start string) Link {
	switch {
	case end == "" || start == "":
		return Unknown
	case end == start:
		return Linked
	}
	return Broken
}

// Between returns the link of two verdicts, the second on the epoch after that of the first. A zero
// verdict stands for one that is missing.
func Between(first, second Verdict) Link {
	if first.Outcome != Verified || second.Outcome != Verified {
		return Unknown
	}
	return LinkDigests(first.Digest, second.PreviousDigest)
}
