package verdict

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Seal stands for the verdicts of a shard all of whose epochs have one. It follows from the
// verdicts alone, so that whoever seals a shard writes the same bytes, and so that bytes that
// differ show that a verdict did.
type Seal struct {
	Schema    int    `json:"schema"`
	Namespace string `json:"namespace"`
	Shard     uint64 `json:"shard"`
	Span
	// Verdicts are the SHA-256 of the verdicts' objects, hexadecimal, in the order of the epochs.
	Verdicts []string `json:"verdicts"`
	// Digests are the first sixteen digits of each epoch's digest, by which a digest that comes
	// again is found; empty for an epoch that was rejected.
	Digests []string `json:"digests"`
}

// DigestPrefix is the part of a digest that a seal has.
func DigestPrefix(digest string) string { return digest[:min(len(digest), digestPrefix)] }

// digestPrefix is how many digits of a digest a seal has.
const digestPrefix = 16

// Add appends an epoch's verdict, whose object has the given SHA-256, to a seal that was made by
// NewSeal. It is for the epochs of the shard in their order.
func (s *Seal) Add(v Verdict, object [sha256.Size]byte) {
	one := Span{From: v.Epoch, To: v.Epoch}
	digest := ""
	if v.Outcome == Verified {
		one.PreviousDigest, one.Digest, digest = v.PreviousDigest, v.Digest, DigestPrefix(v.Digest)
	} else {
		one.Rejected = []Rejection{{v.Epoch, v.Reason}}
	}
	if len(s.Verdicts) == 0 {
		s.Span = one
	} else {
		s.Span = s.Join(one)
	}
	s.Verdicts = append(s.Verdicts, hex.EncodeToString(object[:]))
	s.Digests = append(s.Digests, digest)
}

// NewSeal is the seal of a shard before its first verdict is added.
func NewSeal(namespace string, shard uint64) Seal {
	return Seal{Schema: Schema, Namespace: namespace, Shard: shard}
}

// Validate returns what is wrong with a seal that was read, or nil.
func (s Seal) Validate() error {
	from, to := ShardRange(s.Shard)
	switch {
	case s.Schema != Schema:
		return fmt.Errorf("schema %d: this program knows schema %d", s.Schema, Schema)
	case s.From != from || s.To != to:
		return fmt.Errorf("epochs %d to %d are not those of shard %d", s.From, s.To, s.Shard)
	case uint64(len(s.Verdicts)) != s.Epochs() || uint64(len(s.Digests)) != s.Epochs():
		return fmt.Errorf("%d verdicts and %d digests of %d epochs", len(s.Verdicts), len(s.Digests), s.Epochs())
	}
	for i, v := range s.Verdicts {
		if !isHex(v, 64) || s.Digests[i] != "" && !isHex(s.Digests[i], digestPrefix) {
			return fmt.Errorf("epoch %d: hash %.80q, digest %.80q", s.From+uint64(i), v, s.Digests[i])
		}
	}
	return s.Span.Validate()
}
