package auditstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/ktaudit/ktaudit/verdict"
)

// maxSealBytes caps a seal. One whose every epoch was rejected for a reason with a long name stays
// below a third of it.
const maxSealBytes = 512 << 10

// PutSeal records a shard's seal, once, and returns the SHA-256 of its object, hexadecimal.
// ErrDiffers if another one is on record: then verdicts are not what they were when that one was
// made.
func (s *Store) PutSeal(ctx context.Context, seal verdict.Seal) (hash string, err error) {
	key, err := sealKey(seal.Namespace, seal.Shard)
	if err != nil {
		return "", err
	}
	if err := seal.Validate(); err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	data, err := encodeLine(seal)
	if err != nil {
		return "", err
	}
	return hashText(data), s.putSame(ctx, key, data, maxSealBytes)
}

// Seal returns a shard's seal and the SHA-256 of its object, hexadecimal; ErrNotFound if the shard
// was not sealed.
func (s *Store) Seal(ctx context.Context, namespace string, shard uint64) (verdict.Seal, string, error) {
	key, err := sealKey(namespace, shard)
	if err != nil {
		return verdict.Seal{}, "", err
	}
	data, err := s.get(ctx, key, maxSealBytes)
	if err != nil {
		return verdict.Seal{}, "", err
	}
	var seal verdict.Seal
	err = decodeLine(key, data, &seal, &seal.Schema, func() error {
		if seal.Namespace != namespace || seal.Shard != shard {
			return fmt.Errorf("a seal of shard %d of %q", seal.Shard, seal.Namespace)
		}
		return seal.Validate()
	})
	return seal, hashText(data), err
}

func sealKey(namespace string, shard uint64) (string, error) {
	if shard > verdict.MaxEpoch/verdict.EpochsPerShard {
		return "", fmt.Errorf("shard %d: the audit store's layout ends at %d", shard, uint64(verdict.MaxEpoch/verdict.EpochsPerShard))
	}
	return fmt.Sprintf("%s/%s/%09d.json", namespace, seals, shard), verdict.CheckName("namespace", namespace)
}

func hashText(data []byte) string {
	hash := sha256.Sum256(data)
	return hex.EncodeToString(hash[:])
}

func encodeLine(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	return append(data, '\n'), err
}

// decodeLine reads an object of ours into v, whose schema is looked at before what check says.
func decodeLine(key string, data []byte, v any, schema *int, check func() error) error {
	err := json.NewDecoder(bytes.NewReader(data)).Decode(v)
	if *schema > verdict.Schema {
		return fmt.Errorf("%s: %w %d: this program knows schema %d", key, verdict.ErrNewerSchema, *schema, verdict.Schema)
	}
	if err == nil {
		err = check()
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %w", key, ErrCorrupt, err)
	}
	return nil
}
