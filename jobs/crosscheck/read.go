package crosscheck

import (
	"context"
	"strings"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
)

// Newest returns the newest epoch of which a signed digest of an auditor, named by its ID, was
// compared; 0 if there is none. It takes two listings.
func Newest(ctx context.Context, store *auditstore.Store, namespace, id string) (uint64, error) {
	folder, last := folderOf(store, namespace), ""
	for name, err := range folder.Names(ctx, "", id) {
		if err != nil {
			return 0, err
		}
		shard, isFolder := strings.CutSuffix(name, "/")
		if _, ok := verdict.ParseShardName(shard); ok && isFolder {
			last = shard
		}
	}
	if last == "" {
		return 0, nil
	}
	newest := uint64(0)
	for name, err := range folder.Names(ctx, "", id, last) {
		if err != nil {
			return 0, err
		}
		name, isJSON := strings.CutSuffix(name, ".json")
		if epoch, ok := verdict.ParseEpochName(name); ok && isJSON {
			newest = max(newest, epoch)
		}
	}
	return newest, nil
}

// Compared returns the signed digest of an epoch that was compared, as the auditor gave it;
// auditstore.ErrNotFound if there is none.
func Compared(ctx context.Context, store *auditstore.Store, namespace, id string, epoch uint64) ([]byte, error) {
	return folderOf(store, namespace).Get(ctx, id, verdict.ShardName(epoch/verdict.EpochsPerShard), verdict.EpochName(epoch))
}
