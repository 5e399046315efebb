package auditor

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
)

// ReadSigned is Signed for who has no keys: the signed digest is as it is on record, unchecked.
func ReadSigned(ctx context.Context, store *auditstore.Store, namespace string, epoch uint64) ([]byte, error) {
	recorded, err := newStoreLedger(store, namespace).signed(ctx, epoch)
	if errors.Is(err, errNotYet) {
		return nil, fmt.Errorf("epoch %d of %s: %w", epoch, namespace, ErrNotSigned)
	}
	return recorded, err
}

// SignedRange returns the first and the last epoch that are signed; false if none is. Epochs are
// signed in order, so that all between them are.
func SignedRange(ctx context.Context, store *auditstore.Store, namespace string) (first, last uint64, ok bool, err error) {
	ledger := newStoreLedger(store, namespace)
	start, err := ledger.start(ctx)
	if errors.Is(err, errNotYet) {
		return 0, 0, false, nil
	}
	if err == nil {
		last, ok, err = ledger.last(ctx)
	}
	if err != nil || !ok {
		return 0, 0, false, err
	}
	return start.Epoch, last, true, nil
}

// SignedShards returns the shards (epoch/EpochsPerShard) in which epochs of a log are signed,
// ascending. On local disk a crash may have left one that has none.
func SignedShards(ctx context.Context, store *auditstore.Store, namespace string) ([]uint64, error) {
	return newStoreLedger(store, namespace).shards(ctx)
}

// SignedEpochs returns the epochs of a shard that are signed, ascending, by one listing.
func SignedEpochs(ctx context.Context, store *auditstore.Store, namespace string, shard uint64) ([]uint64, error) {
	return newStoreLedger(store, namespace).epochs(ctx, shard)
}

// numbers are the names of a listing that end in suffix and are numbers before that.
func numbers(names iter.Seq2[string, error], suffix string, parse func(string) (uint64, bool)) (all []uint64, err error) {
	for name, err := range names {
		if err != nil {
			return nil, err
		}
		name, ok := strings.CutSuffix(name, suffix)
		if n, isNumber := parse(name); ok && isNumber {
			all = append(all, n)
		}
	}
	return all, nil
}
