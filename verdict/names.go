package verdict

import (
	"fmt"
	"regexp"
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

// segment is one part of a key. It cannot climb ("..") nor hide (a leading "."), and every store
// takes it as it is.
var segment = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$`)

// CheckName returns why s cannot be a part of a key, or nil; what says in the error which part it
// is.
func CheckName(what, s string) error {
	if !segment.MatchString(s) || strings.Contains(s, "..") {
		return fmt.Errorf("%s %q: want 1 to 128 letters, digits, '.', '_' and '-', without a leading '.' or '..'", what, s)
	}
	return nil
}

// CheckDigest returns why s is no digest as verdicts have it, or nil.
func CheckDigest(s string) error {
	if !hex32.MatchString(s) {
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
