package report

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
	"golang.org/x/sync/errgroup"
)

const (
	// ListAhead is how many shards are listed at once, for a listing is mostly waiting.
	ListAhead = 8
	// ReadAhead is how many verdicts are read at once.
	ReadAhead = 32
)

// EachShard calls visit with the epochs from from to to that have a verdict, a shard at a time, in
// order. Shards without a verdict cost nothing.
func EachShard(ctx context.Context, store *auditstore.Store, namespace string, from, to uint64, visit func(epochs []uint64) error) error {
	shards, err := store.Shards(ctx, namespace, from/verdict.EpochsPerShard, to/verdict.EpochsPerShard)
	if err != nil {
		return fmt.Errorf("verdicts of %s: %w", namespace, err)
	}
	for batch := range slices.Chunk(shards, ListAhead) {
		listings := make([][]uint64, len(batch))
		group, ctx := errgroup.WithContext(ctx)
		for i, shard := range batch {
			group.Go(func() (err error) {
				listings[i], err = store.Epochs(ctx, namespace, shard)
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return fmt.Errorf("verdicts of %s: %w", namespace, err)
		}
		for _, epochs := range listings {
			if err := visit(epochset.Within(epochs, from, to)); err != nil {
				return err
			}
		}
	}
	return nil
}

// ReadVerdicts reads the verdicts of the epochs, in the order of the epochs.
func ReadVerdicts(ctx context.Context, store *auditstore.Store, namespace string, epochs []uint64) ([]verdict.Verdict, error) {
	verdicts := make([]verdict.Verdict, len(epochs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(ReadAhead)
	for i, epoch := range epochs {
		group.Go(func() (err error) {
			verdicts[i], err = store.Verdict(ctx, namespace, epoch)
			return err
		})
	}
	return verdicts, group.Wait()
}

// ReadAround is ReadReadable of epochs and their neighbours.
func ReadAround(ctx context.Context, store *auditstore.Store, namespace string, epochs []uint64) (map[uint64]verdict.Verdict, error) {
	wanted := make([]uint64, 0, 3*len(epochs))
	for _, epoch := range epochs {
		wanted = append(wanted, max(epoch, 2)-1, epoch, min(epoch+1, verdict.MaxEpoch))
	}
	slices.Sort(wanted)
	return ReadReadable(ctx, store, namespace, slices.Compact(wanted))
}

// ReadReadable reads the first verdicts of the epochs, without those that are not there or cannot
// be read.
func ReadReadable(ctx context.Context, store *auditstore.Store, namespace string, epochs []uint64) (map[uint64]verdict.Verdict, error) {
	verdicts := make(map[uint64]verdict.Verdict, len(epochs))
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(ReadAhead)
	for _, epoch := range epochs {
		group.Go(func() error {
			v, err := store.Verdict(ctx, namespace, epoch)
			if auditstore.IsLost(err) || auditstore.IsUnreadable(err) {
				return nil
			}
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			verdicts[epoch] = v
			return nil
		})
	}
	return verdicts, group.Wait()
}
