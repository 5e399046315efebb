package verdict

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Anchor is a digest that is known from elsewhere: that of a log's tree after Epoch, which is the
// one before the first epoch of an audit. An audit from an anchor on is about the tree that its
// operator means, and not about another one that a log directory happens to hold. A zero Anchor
// stands for none.
type Anchor struct {
	Epoch  uint64 // 0 for the tree before epoch 1
	Digest string // 64 lower-case hexadecimal digits
}

// ParseAnchor reads "EPOCH/DIGEST": the epoch in plain decimal digits, the digest as 64 hexadecimal
// digits in either case.
func ParseAnchor(s string) (Anchor, error) {
	number, digest, ok := strings.Cut(s, "/")
	if !ok {
		return Anchor{}, fmt.Errorf("%.100q is no anchor: want EPOCH/DIGEST, the epoch before the first one and its digest", s)
	}
	epoch, err := strconv.ParseUint(number, 10, 64)
	if err != nil || strconv.FormatUint(epoch, 10) != number || epoch >= MaxEpoch {
		return Anchor{}, fmt.Errorf("anchor's epoch %.40q is no number between 0 and %d", number, uint64(MaxEpoch-1))
	}
	if raw, err := hex.DecodeString(digest); err != nil || len(raw) != 32 {
		return Anchor{}, fmt.Errorf("the digest %.100q does not have 64 hexadecimal digits", digest)
	}
	return Anchor{Epoch: epoch, Digest: strings.ToLower(digest)}, nil
}

// IsZero reports whether there is no anchor.
func (a Anchor) IsZero() bool { return a == Anchor{} }

// String returns what ParseAnchor reads; nothing if there is no anchor.
func (a Anchor) String() string {
	if a.IsZero() {
		return ""
	}
	return fmt.Sprintf("%d/%s", a.Epoch, a.Digest)
}

// DigestBefore returns the digest that an epoch must start from by the anchor; nothing if the
// anchor does not say.
func (a Anchor) DigestBefore(epoch uint64) string {
	if a.IsZero() || epoch != a.Epoch+1 {
		return ""
	}
	return a.Digest
}
