package verdictcheck

import (
	"context"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
	"golang.org/x/sync/errgroup"
)

// Enter enters a verdict in the index of digests, if it is verified and of a version of ktaudit
// that had no index.
func Enter(ctx context.Context, store *auditstore.Store, v verdict.Verdict) error {
	if v.Outcome != verdict.Verified || v.Indexed {
		return nil
	}
	return store.PutDigest(ctx, v.Namespace, v.Digest, v.Epoch)
}

func enterAll(ctx context.Context, store *auditstore.Store, verdicts map[uint64]verdict.Verdict) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(report.ReadAhead)
	for _, v := range verdicts {
		group.Go(func() error { return Enter(ctx, store, v) })
	}
	return group.Wait()
}

// CompleteIndex enters what the index of digests lacks, a shard at a time, and ends where somebody
// else is found to do the same. Once it has come to the last verdict there is nothing left to do
// for ever, for whoever writes a verdict enters it before; where an older version still writes
// some, whoever checks or seals them enters them.
//
// A verdict that cannot be read is passed over: it says nothing, and its epoch is audited anew once
// it was removed. A note on a shard is written after its entries, so a crash costs one shard to be
// gone through again.
func CompleteIndex(ctx context.Context, store *auditstore.Store, namespace string) error {
	indexed, err := store.IndexedShards(ctx, namespace)
	if err != nil || indexed >= auditstore.AllShards {
		return err
	}
	shards, err := store.Shards(ctx, namespace, indexed, auditstore.AllShards)
	if err != nil {
		return err
	}
	for _, shard := range shards {
		if err := enterShard(ctx, store, namespace, shard); err != nil {
			return err
		}
		if first, err := store.PutIndexed(ctx, namespace, shard+1); err != nil || !first {
			return err
		}
	}
	_, err = store.PutIndexed(ctx, namespace, auditstore.AllShards)
	return err
}

func enterShard(ctx context.Context, store *auditstore.Store, namespace string, shard uint64) error {
	epochs, err := store.Epochs(ctx, namespace, shard)
	if err != nil {
		return err
	}
	verdicts, err := report.ReadReadable(ctx, store, namespace, epochs)
	if err != nil {
		return err
	}
	return enterAll(ctx, store, verdicts)
}
