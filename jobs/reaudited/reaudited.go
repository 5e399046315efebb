package reaudited

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
)

// The layout is
//
//	{namespace}/reaudited/{shard, 9 digits}/{epoch, 12 digits}-{hash of the listing}.json
const folder = "reaudited"

// maxBytes caps a note, most of which is the batch's key.
const maxBytes = 16 << 10

// Put records, once, that an epoch was audited again with a batch as it was listed, so that nobody
// needs to because of the same listing.
func Put(ctx context.Context, s *auditstore.Store, namespace string, epoch uint64, b verdict.Batch) error {
	if err := verdict.CheckKey(namespace, epoch); err != nil {
		return err
	}
	data, err := json.Marshal(struct {
		Schema    int           `json:"schema"`
		Namespace string        `json:"namespace"`
		Epoch     uint64        `json:"epoch"`
		Batch     verdict.Batch `json:"batch"`
	}{verdict.Schema, namespace, epoch, b})
	if err != nil {
		return err
	}
	_, err = s.Files(namespace, folder).Put(ctx, nameOf(epoch, b), append(data, '\n'), maxBytes)
	return err
}

// Is reports whether an epoch was audited again with a batch as it is listed.
func Is(ctx context.Context, s *auditstore.Store, namespace string, epoch uint64, listed verdict.Batch) (bool, error) {
	if err := verdict.CheckKey(namespace, epoch); err != nil {
		return false, err
	}
	_, err := s.Files(namespace, folder).Get(ctx, nameOf(epoch, listed), maxBytes)
	if errors.Is(err, auditstore.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func nameOf(epoch uint64, b verdict.Batch) string {
	listing := fmt.Sprintf("%q %d %s %q", b.Key, b.StoredBytes, b.ModifiedAt.UTC().Format(time.RFC3339Nano), b.ETag)
	return fmt.Sprintf("%s/%s-%.8x.json", verdict.ShardName(epoch/verdict.EpochsPerShard), verdict.EpochName(epoch), sha256.Sum256([]byte(listing)))
}
