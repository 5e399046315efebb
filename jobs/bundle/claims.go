package bundle

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/verdict"
)

// Claim is what ktaudit said is wrong, and whether the bundle proves it.
type Claim struct {
	Claim  string `json:"claim"`
	Proven bool   `json:"proven"`
	Proof  string `json:"proof"` // or why there is none
}

func sorted(files map[string][]byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for _, path := range slices.Sorted(maps.Keys(files)) {
			if !yield(path, files[path]) {
				return
			}
		}
	}
}

// conclude holds what the bundle's batches and signatures show against what ktaudit said.
func (c *Checked) conclude(files map[string][]byte) {
	n := c.Manifest.Epoch
	add := func(claim string, proof string, proven bool) {
		c.Claims = append(c.Claims, Claim{claim, proven, proof})
	}
	for path, data := range sorted(files) {
		dir, name, _ := strings.Cut(path, "/")
		switch {
		case path == fmt.Sprintf("%s/%012d.json", verdictsDir, n):
			if v, err := verdict.Decode(data); err == nil && v.Outcome == verdict.Rejected && v.Epoch == n {
				proof, proven := c.rejection(v)
				add(fmt.Sprintf("epoch %d was rejected: %s", n, v.Reason), proof, proven)
			}
		case dir == evidenceDir && strings.HasPrefix(name, "contradiction-"):
			if v, err := verdict.Decode(data); err == nil && v.Epoch == n {
				proof, proven := c.contradiction(v)
				add(fmt.Sprintf("epoch %d was judged again, and found %s", n, strings.TrimSpace(v.Outcome+" "+string(v.Reason))), proof, proven)
			}
		case dir == evidenceDir && strings.HasPrefix(name, "broken-chain-"):
			var e incident.BrokenChain
			if json.Unmarshal(data, &e) == nil {
				proof, proven := c.broken(e)
				add(fmt.Sprintf("epochs %d and %d contradict each other: %s", e.Epochs[0].Epoch, e.Epochs[1].Epoch, e.Reason), proof, proven)
			}
		case dir == evidenceDir && strings.HasPrefix(name, "names-"):
			proof, proven := c.equivocation(n)
			add(fmt.Sprintf("the names of epoch %d contradict each other, or those of its neighbours", n), proof, proven)
		case dir == incidentsDir && strings.HasPrefix(name, withdrawnPrefix):
			proof, proven := c.withdrawal(n)
			add(fmt.Sprintf("the log does not list the batch of epoch %d any more", n), proof, proven)
		}
	}
	c.Holds = len(c.Claims) > 0
	for _, claim := range c.Claims {
		c.Holds = c.Holds && claim.Proven
	}
	c.BySignatures = c.signedAgainst()
	c.Limits = c.limits()
}

// signedAgainst returns what signed digests show by themselves. A batch adds nothing to that: to
// the digest of a batch that was published anybody can make another batch, from another one.
func (c *Checked) signedAgainst() []string {
	found := []string{}
	for i, s := range c.Signed {
		for _, other := range c.Signed[i+1:] {
			if s.Error == "" && other.Error == "" && s.Epoch == other.Epoch && s.Digest != other.Digest {
				found = append(found, twoDigests(s, other))
			}
		}
	}
	return found
}

func twoDigests(s, other Signed) string {
	return fmt.Sprintf("two digests are signed for epoch %d: %s by key %d, and %s by key %d", s.Epoch, s.Digest, s.KeyID, other.Digest, other.KeyID)
}

// rejection returns what proves a rejection, or why nothing does.
func (c *Checked) rejection(v verdict.Verdict) (string, bool) {
	switch v.Reason {
	case verdict.Equivocation:
		return c.equivocation(v.Epoch)
	case verdict.DigestReused:
		if v.Digest != "" && v.Digest == v.PreviousDigest {
			if proof, ok := c.named(v.Epoch, v.PreviousDigest, v.Digest); ok {
				return proof, true
			}
		}
		return "the bundle has no batch or signature that shows it: its name is ktaudit's word", false
	case verdict.SignatureInvalid, verdict.SignatureDigestMismatch:
		return c.badSignature(v)
	case verdict.BatchTooLarge:
		return "the batch was not judged, which is nothing against the log", false
	}
	for _, b := range c.Batches {
		if b.Epoch == v.Epoch && b.SHA256 == v.Batch.SHA256 && b.Outcome == verdict.Rejected && b.Reason == v.Reason {
			return fmt.Sprintf("batch %s (sha256 %s) does not prove what its name says: %s: %s", b.Key, b.SHA256, b.Reason, b.Detail), true
		}
	}
	return "the bundle has no batch that is rejected for that", false
}

// named returns a batch or a signature that shows that the epoch has these digests.
func (c *Checked) named(epoch uint64, previous, digest string) (string, bool) {
	for _, s := range c.Signed {
		if s.Error == "" && s.Epoch == epoch && s.Digest == digest {
			for _, before := range c.Signed {
				if before.Error == "" && before.Epoch+1 == epoch && before.Digest == previous {
					return fmt.Sprintf("the same digest %s is signed for epochs %d and %d, by key %d", digest, epoch-1, epoch, s.KeyID), true
				}
			}
		}
	}
	for _, b := range c.Batches {
		if b.Epoch == epoch && b.Previous == previous && b.Digest == digest && b.Outcome != "" {
			return fmt.Sprintf("batch %s (sha256 %s) has the same digest before and after it", b.Key, b.SHA256), true
		}
	}
	return "", false
}

// equivocation returns what shows that an epoch has two digests, or does not go on where its
// neighbour ended.
func (c *Checked) equivocation(epoch uint64) (string, bool) {
	for i, s := range c.Signed {
		for _, other := range c.Signed[i+1:] {
			if s.Error == "" && other.Error == "" && s.Epoch == epoch && other.Epoch == epoch && s.Digest != other.Digest {
				return twoDigests(s, other), true
			}
		}
	}
	batches := c.verified()
	for i, b := range batches {
		for _, other := range batches[i+1:] {
			if b.Epoch == epoch && other.Epoch == epoch && (b.Digest != other.Digest || b.Previous != other.Previous) {
				return fmt.Sprintf("epoch %d has two batches: %s; and %s", epoch, c.describe(b), c.describe(other)), true
			}
		}
	}
	for _, pair := range [][2]uint64{{epoch - 1, epoch}, {epoch, epoch + 1}} {
		if proof, ok := c.neighbours(pair[0], pair[1]); ok {
			return proof, true
		}
	}
	return "the bundle does not have both batches, each of which verifies, nor two signatures: that there were two is ktaudit's word", false
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
func (c *Checked) contradiction(found verdict.Verdict) (string, bool) {
	if found.Outcome == verdict.Rejected {
		return c.rejection(found)
	}
	for _, b := range c.verified() {
		if b.Epoch == found.Epoch && b.SHA256 == found.Batch.SHA256 {
			return fmt.Sprintf("%s; what was judged before is ktaudit's word", c.describe(b)), true
		}
	}
	return "the bundle does not have the batch that was found", false
}

// broken returns what shows that two epochs are not of one log.
func (c *Checked) broken(e incident.BrokenChain) (string, bool) {
	first, second := e.Epochs[0].Epoch, e.Epochs[1].Epoch
	if e.Reason == verdict.BrokenChain {
		if proof, ok := c.neighbours(first, second); ok && second == first+1 {
			return proof, true
		}
	}
	for _, a := range c.verified() {
		for _, b := range c.verified() {
			if a.Epoch != first || b.Epoch != second || first >= second {
				continue
			}
			switch {
			case e.Reason == verdict.DigestReused && a.Digest == b.Digest:
				return fmt.Sprintf("two epochs end with the same digest: %s; and %s", c.describe(a), c.describe(b)), true
			case e.Reason == verdict.Rollback && a.Digest == b.Previous && second > first+1:
				return fmt.Sprintf("epoch %d goes on from epoch %d, as if there were none between them: %s; and %s", second, first, c.describe(a), c.describe(b)), true
			}
		}
	}
	return "the bundle does not have the batches of both epochs, each of which verifies", false
}

// badSignature returns what shows that a signed digest is wrong, or is for another digest.
func (c *Checked) badSignature(v verdict.Verdict) (string, bool) {
	for _, s := range c.Signed {
		if s.Epoch != v.Epoch && s.Epoch+1 != v.Epoch {
			continue
		}
		if s.unknown && c.OwnKeys {
			continue // the reader may not have the key
		}
		for _, before := range c.Signed {
			if v.Reason == verdict.SignatureInvalid && s.Error == "" && before.Error == "" &&
				s.Epoch == v.Epoch && before.Epoch+1 == v.Epoch && s.Timestamp < before.Timestamp {
				return fmt.Sprintf("epoch %d was signed at %d ms, before epoch %d, which was signed at %d ms",
					s.Epoch, s.Timestamp, before.Epoch, before.Timestamp), true
			}
		}
		if s.Error != "" && v.Reason == verdict.SignatureInvalid {
			return fmt.Sprintf("the signed digest of epoch %d is not valid: %s", s.Epoch, s.Error), true
		}
		for _, b := range c.verified() {
			if v.Reason == verdict.SignatureDigestMismatch && s.Error == "" && s.Epoch == b.Epoch && s.Digest != b.Digest {
				return fmt.Sprintf("key %d signed digest %s for epoch %d, but %s", s.KeyID, s.Digest, s.Epoch, c.describe(b)), true
			}
			if v.Reason == verdict.SignatureDigestMismatch && s.Error == "" && s.Epoch+1 == b.Epoch && s.Digest != b.Previous {
				return fmt.Sprintf("key %d signed digest %s for epoch %d, but %s", s.KeyID, s.Digest, s.Epoch, c.describe(b)), true
			}
		}
	}
	return "the bundle has no signed digest that is wrong like that under these keys", false
}

func (c *Checked) verified() []Batch {
	return slices.DeleteFunc(slices.Clone(c.Batches), func(b Batch) bool { return b.Outcome != verdict.Verified })
}

// describe says what a batch proves, and who signed its digest.
func (c *Checked) describe(b Batch) string {
	by := "not signed by any of these keys"
	for _, s := range c.Signed {
		if s.Error == "" && s.Epoch == b.Epoch && s.Digest == b.Digest {
			by = fmt.Sprintf("signed by key %d", s.KeyID)
		}
	}
	return fmt.Sprintf("the batch with sha256 %s verifies for epoch %d from %s to %s, %s", b.SHA256, b.Epoch, b.Previous, b.Digest, by)
}

// limits says what the bundle cannot prove.
func (c *Checked) limits() []string {
	limits := []string{
		"That the log published these batches, when, under which names, and that its tree is hashed as " + c.Manifest.Configuration +
			", is the word of whoever made the bundle, as are listings, verdicts and times. Anybody can make a batch that does not verify, " +
			"or one that verifies from another digest to a signed one, and spoil a signature: a signature says which digest an epoch ends with, and no more.",
	}
	if !c.OwnKeys {
		limits = append(limits, "The keys are those in the bundle: compare them with the published ones, or give your own with --verifying-key.")
	}
	if len(c.Manifest.Missing) > 0 {
		limits = append(limits, "The audit store did not have: "+strings.Join(c.Manifest.Missing, ", ")+".")
	}
	return limits
}
