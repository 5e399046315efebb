package report

import (
	"context"
	"errors"
	"fmt"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

// JudgedRuns calls visit with the runs of epochs from from to to that have a verdict, in order.
// What is sealed costs no request, and no verdict is read.
func JudgedRuns(ctx context.Context, store *auditstore.Store, namespace string, from, to uint64, visit func(from, to uint64) error) error {
	h, err := ReadHistory(ctx, store, namespace)
	if err != nil {
		return err
	}
	return Walk(ctx, store, h, from, to, Visitor{
		Sealed: func(span verdict.Span) error { return visit(span.From, span.To) },
		Open: func(epochs []uint64) error {
			for _, epoch := range epochs {
				if err := visit(epoch, epoch); err != nil {
					return err
				}
			}
			return nil
		},
	})
}

// IsJudged reports whether an epoch has a verdict. One that cannot be read is none: whoever looks
// into why an epoch fails has perhaps just removed it, and if not, the worker says what is wrong.
func IsJudged(ctx context.Context, store *auditstore.Store, namespace string, epoch uint64) (bool, error) {
	_, err := store.Verdict(ctx, namespace, epoch)
	if auditstore.IsLost(err) {
		return false, nil
	}
	return err == nil, err
}

// SplitJudged lists which epochs of a range have a verdict, and which have none. It costs a
// listing for each shard; those of one that cannot be listed are in neither list.
func SplitJudged(ctx context.Context, store *auditstore.Store, namespace string, from, to uint64) (judged, open []uint64, err error) {
	var errs []error
	for shard := from / verdict.EpochsPerShard; shard <= to/verdict.EpochsPerShard; shard++ {
		epochs, err := store.Epochs(ctx, namespace, shard)
		if err != nil {
			errs = append(errs, fmt.Errorf("verdicts of %s: %w", namespace, err))
			continue
		}
		first, last := verdict.ShardRange(shard)
		first, last = max(from, first), min(to, last)
		judged = append(judged, epochset.Within(epochs, first, last)...)
		open = append(open, epochset.Without(first, last, epochs)...)
	}
	return judged, open, errors.Join(errs...)
}
