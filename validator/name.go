package validator

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// DigestSize is the length of a root digest and of every node value, in bytes.
const DigestSize = 32

// Digest is the root hash of a log's tree after an epoch.
type Digest [DigestSize]byte

// String returns d as 64 lower-case hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// ParseDigest reads 64 lower-case hexadecimal digits. Upper case is refused: a log that wrote one
// digest in two ways could publish two objects under what people read as one name.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	if len(s) != 2*DigestSize {
		return d, fmt.Errorf("digest has %d characters, want %d hexadecimal digits", len(s), 2*DigestSize)
	}
	if i := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'f') }); i >= 0 {
		return d, fmt.Errorf("digest has %q at position %d, want lower-case hexadecimal digits", s[i], i)
	}
	_, err := hex.Decode(d[:], []byte(s))
	return d, err
}

// Name says what an audit proof claims: that Epoch took the tree from PreviousDigest to Digest. It
// is the name under which a log publishes the proof, "{epoch}/{previous digest}/{digest}".
type Name struct {
	Epoch          uint64
	PreviousDigest Digest
	Digest         Digest
}

// String returns the published name, without the extension of a compression; see fetcher.ParseKey.
func (n Name) String() string {
	return fmt.Sprintf("%d/%s/%s", n.Epoch, n.PreviousDigest, n.Digest)
}

// ParseName reads "{epoch}/{previous digest}/{digest}": the epoch in canonical decimal (no sign, no
// leading zero) and at least 1, because epoch N takes the tree from N-1 to N; the digests in
// lower-case hexadecimal.
func ParseName(s string) (Name, error) {
	parts := strings.Split(s, "/")
	if len(parts) != 3 {
		return Name{}, fmt.Errorf("name has %d parts, want {epoch}/{previous digest}/{digest}", len(parts))
	}
	return nameOf(parts, ParseEpoch, ParseDigest)
}

// ReadName reads a name as leniently as the akd crate does, for which an epoch may have a plus sign
// or leading zeros, digests may have upper-case digits, and what follows a third slash says
// nothing. What ReadName takes and ParseName does not is a batch to others all the same: another
// digest in it is an equivocation.
func ReadName(s string) (Name, error) {
	parts := strings.SplitN(s, "/", 4)
	if len(parts) < 3 {
		return Name{}, fmt.Errorf("name has %d parts, want {epoch}/{previous digest}/{digest}", len(parts))
	}
	return nameOf(parts, func(s string) (uint64, error) {
		epoch, err := strconv.ParseUint(strings.TrimPrefix(s, "+"), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("epoch %.40q is not a decimal number", s)
		}
		return epoch, nil
	}, readDigest)
}

// nameOf reads the three parts of a name.
func nameOf(parts []string, readEpoch func(string) (uint64, error), readDigest func(string) (Digest, error)) (n Name, err error) {
	if n.Epoch, err = readEpoch(parts[0]); err != nil {
		return Name{}, err
	}
	if n.PreviousDigest, err = readDigest(parts[1]); err != nil {
		return Name{}, fmt.Errorf("previous digest: %w", err)
	}
	n.Digest, err = readDigest(parts[2])
	return n, err
}

// readDigest reads 64 hexadecimal digits in either case.
func readDigest(s string) (Digest, error) {
	return ParseDigest(strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'F' {
			return r - 'A' + 'a'
		}
		return r
	}, s))
}

// ParseEpoch reads an epoch in canonical decimal: digits only, no leading zero, at least 1.
func ParseEpoch(s string) (uint64, error) {
	epoch, err := strconv.ParseUint(s, 10, 64)
	if err != nil || strconv.FormatUint(epoch, 10) != s {
		return 0, fmt.Errorf("epoch %q is not a canonical decimal number", s)
	}
	if epoch == 0 {
		return 0, fmt.Errorf("epoch 0 has no batch: an epoch's batch leads from the epoch before it")
	}
	return epoch, nil
}
