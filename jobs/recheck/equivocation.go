package recheck

import (
	"context"
	"errors"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/jobs/chain"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
)

// isAnother reports whether the log lists another batch than that of the verdict, beside it or in
// its place.
func isAnother(v verdict.Verdict, object fetcher.Object, err error) bool {
	if err != nil {
		_, several := errors.AsType[*fetcher.EquivocationError](err)
		return several
	}
	return nameOf(object.Name) != verdict.ChainName{PreviousDigest: v.PreviousDigest, Digest: v.Digest}
}

func nameOf(n validator.Name) verdict.ChainName {
	return verdict.ChainName{PreviousDigest: n.PreviousDigest.String(), Digest: n.Digest.String()}
}

// raiseEquivocation puts it on record that an epoch has another batch than the one that was judged,
// and raises an alert: the same incident and, if both are listed, the same evidence as where a walk
// of names finds them. The first time, the epoch is put on the queue before that, so that the
// batches are kept, too.
func (r *round) raiseEquivocation(ctx context.Context, v verdict.Verdict, object fetcher.Object, err error) error {
	names := []verdict.ChainName{{PreviousDigest: v.PreviousDigest, Digest: v.Digest}}
	if err == nil {
		names = append(names, nameOf(object.Name))
	}
	if several, ok := errors.AsType[*fetcher.EquivocationError](err); ok {
		for _, key := range several.Keys {
			if name, err := fetcher.ReadKey(key); err == nil && name.Epoch == v.Epoch {
				names = append(names, nameOf(name))
			}
		}
	}
	return chain.RecordDouble(ctx, r.config.Incidents, r.config.Namespace, v.Epoch, names, func() error {
		return r.config.Reaudit(ctx, []uint64{v.Epoch})
	})
}
