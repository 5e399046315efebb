package auditstore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/verdict"
)

// What is kept of batches that were listed otherwise than when they were judged, and judged again;
// the layout is
//
//	{namespace}/reaudited/{shard, 9 digits}/{epoch, 12 digits}-{hash of the listing}.json
const reaudited = "reaudited"

// maxReauditedBytes caps a note on such a batch, most of which is its key.
const maxReauditedBytes = 16 << 10

// PutReaudited records, once, that an epoch was audited again with a batch as it was listed, so
// that nobody needs to because of the same listing.
func (s *Store) PutReaudited(ctx context.Context, namespace string, epoch uint64, b verdict.Batch) error {
	key, err := reauditedKey(namespace, epoch, b)
	if err != nil {
		return err
	}
	data, err := encodeLine(struct {
		Schema    int           `json:"schema"`
		Namespace string        `json:"namespace"`
		Epoch     uint64        `json:"epoch"`
		Batch     verdict.Batch `json:"batch"`
	}{verdict.Schema, namespace, epoch, b})
	if err != nil {
		return err
	}
	_, err = s.put(ctx, key, data, maxReauditedBytes)
	return err
}

// IsReaudited reports whether an epoch was audited again with a batch as it is listed.
func (s *Store) IsReaudited(ctx context.Context, namespace string, epoch uint64, listed verdict.Batch) (bool, error) {
	key, err := reauditedKey(namespace, epoch, listed)
	if err != nil {
		return false, err
	}
	_, err = s.get(ctx, key, maxReauditedBytes)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func reauditedKey(namespace string, epoch uint64, b verdict.Batch) (string, error) {
	key, err := epochKey(namespace, reaudited, epoch)
	listing := fmt.Sprintf("%q %d %s %q", b.Key, b.StoredBytes, b.ModifiedAt.UTC().Format(time.RFC3339Nano), b.ETag)
	return fmt.Sprintf("%s-%.8x.json", key, sha256.Sum256([]byte(listing))), err
}
