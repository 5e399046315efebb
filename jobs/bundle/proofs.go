package bundle

import (
	"fmt"
	"slices"

	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/verdict"
)

// rejection returns what bears out a rejection, or why nothing does.
func (c *Checked) rejection(v verdict.Verdict) (string, Result) {
	switch v.Reason {
	case verdict.Equivocation:
		return c.equivocation(v.Epoch)
	case verdict.DigestReused:
		return c.reused(v)
	case verdict.SignatureInvalid, verdict.SignatureDigestMismatch:
		return c.badSignature(v)
	case verdict.BatchTooLarge:
		return "the batch was not judged, which is nothing against the log", NotShown
	}
	for _, b := range c.Batches {
		if b.Epoch != v.Epoch || b.SHA256 != v.Batch.SHA256 || b.Outcome != verdict.Rejected || b.Reason != v.Reason {
			continue
		}
		if b.VerifiesAs != "" {
			return fmt.Sprintf("batch %s (sha256 %s) verifies if the log's tree is hashed as %s. That it is hashed as %s, as which it does not verify, "+
				"is the word of whoever made the bundle: say which it is with --configuration", b.Key, b.SHA256, b.VerifiesAs, c.Configuration), NotShown
		}
		return fmt.Sprintf("batch %s (sha256 %s) does not prove what its name says: %s: %s", b.Key, b.SHA256, b.Reason, b.Detail), Shown
	}
	return "the bundle has no batch that is rejected for that", NotShown
}

// reused returns what shows that an epoch has the digest of the one before it.
func (c *Checked) reused(v verdict.Verdict) (string, Result) {
	if proof, result, ok := c.signedAgainst(verdict.DigestReused, v.Epoch-1, v.Epoch); ok {
		return proof, result
	}
	for _, b := range c.Batches {
		if v.Digest != "" && v.Digest == v.PreviousDigest && b.Epoch == v.Epoch && b.Digest == v.Digest && b.Previous == v.Digest && b.Outcome != "" {
			return fmt.Sprintf("batch %s (sha256 %s) has the same digest before and after it, by its name", b.Key, b.SHA256), Shown
		}
	}
	return "the bundle has no batch or signature that shows it: its name is ktaudit's word", NotShown
}

// equivocation returns what shows that an epoch has two digests, or does not go on where its
// neighbour ended.
func (c *Checked) equivocation(epoch uint64) (string, Result) {
	if proof, result, ok := c.signedAgainst(verdict.Equivocation, epoch, epoch); ok {
		return proof, result
	}
	batches := c.verified()
	for i, b := range batches {
		for _, other := range batches[i+1:] {
			if b.Epoch == epoch && other.Epoch == epoch && (b.Digest != other.Digest || b.Previous != other.Previous) {
				return fmt.Sprintf("epoch %d has two batches: %s; and %s", epoch, c.describe(b), c.describe(other)), Shown
			}
		}
	}
	for _, pair := range [][2]uint64{{epoch - 1, epoch}, {epoch, epoch + 1}} {
		if proof, ok := c.neighbours(pair[0], pair[1]); ok {
			return proof, Shown
		}
	}
	return "the bundle does not have both batches, each of which verifies, nor two signatures: that there were two is ktaudit's word", NotShown
}

// neighbours returns what shows that two epochs in a row do not continue each other.
func (c *Checked) neighbours(first, second uint64) (string, bool) {
	for _, a := range c.verified() {
		for _, b := range c.verified() {
			if a.Epoch == first && b.Epoch == second && verdict.LinkDigests(a.Digest, b.Previous) == verdict.Broken {
				return fmt.Sprintf("epoch %d does not begin where epoch %d ended: %s; and %s", second, first, c.describe(a), c.describe(b)), true
			}
		}
	}
	return "", false
}

// contradiction returns what shows that a second look found otherwise than the verdict on record.
func (c *Checked) contradiction(found verdict.Verdict) (string, Result) {
	if found.Outcome == verdict.Rejected {
		return c.rejection(found)
	}
	for _, b := range c.verified() {
		if b.Epoch == found.Epoch && b.SHA256 == found.Batch.SHA256 {
			return fmt.Sprintf("%s; what was judged before is ktaudit's word", c.describe(b)), Shown
		}
	}
	return "the bundle does not have the batch that was found", NotShown
}

// broken returns what shows that two epochs are not of one log.
func (c *Checked) broken(e incident.BrokenChain) (string, Result) {
	first, second := e.Epochs[0].Epoch, e.Epochs[1].Epoch
	if proof, result, ok := c.signedAgainst(e.Reason, first, second); ok && e.Reason == verdict.DigestReused {
		return proof, result
	}
	if e.Reason == verdict.BrokenChain {
		if proof, ok := c.neighbours(first, second); ok && second == first+1 {
			return proof, Shown
		}
	}
	if e.Reason == verdict.Island {
		return c.island(first, second)
	}
	for _, a := range c.verified() {
		for _, b := range c.verified() {
			if a.Epoch != first || b.Epoch != second || first >= second {
				continue
			}
			switch {
			case e.Reason == verdict.DigestReused && a.Digest == b.Digest:
				return fmt.Sprintf("two epochs end with the same digest: %s; and %s", c.describe(a), c.describe(b)), Shown
			case e.Reason == verdict.Rollback && a.Digest == b.Previous && second > first+1:
				return fmt.Sprintf("epoch %d goes on from epoch %d, as if there were none between them: %s; and %s", second, first, c.describe(a), c.describe(b)), Shown
			}
		}
	}
	return "the bundle does not have the batches of both epochs, each of which verifies", NotShown
}

// island returns what shows that an epoch does not begin where the rejected one before it claims to
// end. That no earlier epoch ended there, no bundle can show.
func (c *Checked) island(first, second uint64) (string, Result) {
	for _, a := range c.Batches {
		for _, b := range c.verified() {
			if a.Epoch != first || a.Outcome != verdict.Rejected || b.Epoch != second || second != first+1 {
				continue
			}
			if verdict.LinkDigests(a.Digest, b.Previous) == verdict.Broken {
				return fmt.Sprintf("epoch %d does not begin where epoch %d, which is rejected, says that it ends: "+
					"the batch with sha256 %s is rejected: %s, and is named for digest %s; and %s. "+
					"That no epoch before ended with digest %s is the word of whoever made the bundle",
					second, first, a.SHA256, a.Reason, a.Digest, c.describe(b), b.Previous), Shown
			}
		}
	}
	return "the bundle does not have the rejected batch and the one behind it, which verifies", NotShown
}

// badSignature returns what shows that a signed digest is wrong, or is for another digest. One of
// an unknown key shows nothing: it may be the log's, and good.
func (c *Checked) badSignature(v verdict.Verdict) (string, Result) {
	if proof, result, ok := c.signedAgainst(verdict.SignatureInvalid, v.Epoch-1, v.Epoch); ok && v.Reason == verdict.SignatureInvalid {
		return proof, result
	}
	for _, s := range c.Signed {
		if s.unknown || s.Epoch != v.Epoch && s.Epoch+1 != v.Epoch {
			continue
		}
		if s.Error != "" && v.Reason == verdict.SignatureInvalid {
			return fmt.Sprintf("the signed digest of epoch %d is not valid: %s. That shows only that it is wrong, not who wrote it", s.Epoch, s.Error), Shown
		}
		for _, b := range c.verified() {
			if v.Reason == verdict.SignatureDigestMismatch && s.Error == "" && s.Epoch == b.Epoch && s.Digest != b.Digest {
				return fmt.Sprintf("key %s signed digest %s for epoch %d, but %s", s.Key, s.Digest, s.Epoch, c.describe(b)), Shown
			}
			if v.Reason == verdict.SignatureDigestMismatch && s.Error == "" && s.Epoch+1 == b.Epoch && s.Digest != b.Previous {
				return fmt.Sprintf("key %s signed digest %s for epoch %d, but %s", s.Key, s.Digest, s.Epoch, c.describe(b)), Shown
			}
		}
	}
	return "the bundle has no signed digest that is wrong like that under these keys", NotShown
}

func (c *Checked) verified() []Batch {
	return slices.DeleteFunc(slices.Clone(c.Batches), func(b Batch) bool { return b.Outcome != verdict.Verified })
}

// describe says what a batch proves, and who signed its digest.
func (c *Checked) describe(b Batch) string {
	by := "not signed by any of these keys"
	for _, s := range c.Signed {
		if s.Error == "" && s.Epoch == b.Epoch && s.Digest == b.Digest {
			by = "signed by key " + s.Key
		}
	}
	return fmt.Sprintf("the batch with sha256 %s verifies for epoch %d from %s to %s, %s", b.SHA256, b.Epoch, b.Previous, b.Digest, by)
}
