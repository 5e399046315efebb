package verdict

import (
	"fmt"
	"strings"
)

// MaxEpoch is the highest epoch the audit store's layout has room for.
const MaxEpoch = 999_999_999_999

// EpochsPerShard is how many epochs share a folder, so that listing one is one request on any
// store.
const EpochsPerShard = 1000

// ShardRange returns the first and the last epoch of a shard. Epochs begin with 1.
func ShardRange(shard uint64) (from, to uint64) {
	return max(1, shard*EpochsPerShard), shard*EpochsPerShard + EpochsPerShard - 1
}

// isSegment reports whether s can be one part of a key. It cannot climb ("..") nor hide (a leading
// "."), and every store takes it as it is. No regular expression: each verdict read is checked.
func isSegment(s string) bool {
	if s == "" || len(s) > 128 || s[0] == '.' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter, digit := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z', '0' <= c && c <= '9'
		if !letter && !digit && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return !strings.Contains(s, "..")
}

// isHex reports whether s is so many lower-case hexadecimal digits.
func isHex(s string, digits int) bool {
	if len(s) != digits {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// CheckName returns why s cannot be a part of a key, or nil; what says in the error which part it
// is.
func CheckName(what, s string) error {
	if !isSegment(s) {
		return fmt.Errorf("%s %q: want 1 to 128 letters, digits, '.', '_' and '-', without a leading '.' or '..'", what, s)
	}
	return nil
}

// CheckDigest returns why s is no digest as verdicts have it, or nil.
func CheckDigest(s string) error {
	if !isHex(s, 64) {
		return fmt.Errorf("digest %.80q is not 64 lower-case hexadecimal digits", s)
	}
	return nil
}

// CheckKey returns why nothing can be kept under a namespace and an epoch, or nil.
func CheckKey(namespace string, epoch uint64) error {
	if epoch > MaxEpoch {
		return fmt.Errorf("epoch %d: the audit store's layout ends at %d", epoch, uint64(MaxEpoch))
	}
	return CheckName("namespace", namespace)
}

// CheckNamespace says why a name cannot be that of a namespace in an audit store.
func CheckNamespace(namespace string) error { return CheckName("namespace", namespace) }
