package blobstore

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// MaxEpoch is the highest epoch the audit store's layout has room for.
const MaxEpoch = 999_999_999_999

// EpochsPerShard is how many epochs share a folder, so that listing one is one request on any store.
const EpochsPerShard = 1000

// What the audit store keeps of an epoch; each is a folder of its namespace.
const (
	verdicts   = "verdicts"
	signatures = "signatures"
	archives   = "archive"
	evidence   = "evidence"
)

// What the audit store keeps of many epochs.
const (
	seals     = "seals"
	histories = "history"
)

// segment is one part of a key. It cannot climb ("..") nor hide (a leading "."), and every store takes it as it is.
var segment = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$`)

func checkSegment(what, s string) error {
	if !segment.MatchString(s) || strings.Contains(s, "..") {
		return fmt.Errorf("%s %q: want 1 to 128 letters, digits, '.', '_' and '-', without a leading '.' or '..'", what, s)
	}
	return nil
}

func checkKey(namespace string, epoch uint64) error {
	if epoch > MaxEpoch {
		return fmt.Errorf("epoch %d: the audit store's layout ends at %d", epoch, uint64(MaxEpoch))
	}
	return checkSegment("namespace", namespace)
}

// epochKey is the key of what is kept of one epoch, without extension.
func epochKey(namespace, kind string, epoch uint64) (string, error) {
	if err := checkKey(namespace, epoch); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s%012d", shardPrefix(namespace, kind, epoch/EpochsPerShard), epoch), nil
}

func jsonKey(namespace, kind string, epoch uint64) (string, error) {
	key, err := epochKey(namespace, kind, epoch)
	return key + ".json", err
}

func evidenceKey(namespace string, epoch uint64, name string) (string, error) {
	if err := checkSegment("evidence name", name); err != nil {
		return "", err
	}
	key, err := epochKey(namespace, evidence, epoch)
	return key + "/" + name, err
}

func shardPrefix(namespace, kind string, shard uint64) string {
	return fmt.Sprintf("%s/%s/%09d/", namespace, kind, shard)
}

// padded reads a decimal number of exactly so many digits.
func padded(s string, digits int) (uint64, bool) {
	if len(s) != digits || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}
