package report

import (
	"cmp"
	"context"
	"slices"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

// EachVerdict calls visit with the verdicts that count of the epochs from from (0: the first) to to
// (0: the last), in the order of the epochs, and with how they were overruled, if they were.
// It reads many at once and holds at most a few hundred. It ends with the first error of visit, or
// with that of a verdict that cannot be read, which names its key; every verdict before that one
// may not have been visited.
func EachVerdict(ctx context.Context, store *auditstore.Store, namespace string, from, to uint64, visit func(verdict.Verdict, *OverruledEpoch) error) error {
	from, to = max(from, 1), cmp.Or(to, verdict.MaxEpoch)
	if err := epochset.CheckRange(from, to); err != nil {
		return err
	}
	overruled, err := ReadOverruled(ctx, store, namespace)
	if err != nil {
		return err
	}
	return EachShard(ctx, store, namespace, from, to, func(epochs []uint64) error {
		for some := range slices.Chunk(epochs, 8*ReadAhead) {
			verdicts, err := ReadVerdicts(ctx, store, namespace, some)
			if err != nil {
				return err
			}
			for _, v := range verdicts {
				if err := visit(overruled.Newest(v), overruled.Of(v.Epoch)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
