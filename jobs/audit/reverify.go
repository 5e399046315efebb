package audit

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
	"golang.org/x/sync/errgroup"
)

// Reverification says which epochs to audit again.
type Reverification struct {
	Epochs      []uint64 // these; if there are none, all with a verdict
	From, To    uint64   // from From (0: the first) to To (0: the last),
	Sample      int      // or so many of them by chance; 0: all
	Concurrency int      // at the same time; 0: one
}

// Reverify calls Reaudit for epochs and visit, one call at a time and in no order, with what came
// of it.
func (a *Auditor) Reverify(ctx context.Context, r Reverification, visit func(epoch uint64, found verdict.Verdict, err error)) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(max(r.Concurrency, 1))
	var visiting sync.Mutex
	err := a.choose(groupCtx, r, func(epochs []uint64) error {
		for _, epoch := range epochs {
			group.Go(func() error {
				found, err := a.Reaudit(groupCtx, epoch)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				visiting.Lock()
				defer visiting.Unlock()
				visit(epoch, found, err)
				return nil
			})
			if ctx.Err() != nil {
				break
			}
		}
		return ctx.Err()
	})
	return cmp.Or(group.Wait(), err)
}

// choose calls use with the epochs to audit again.
func (a *Auditor) choose(ctx context.Context, r Reverification, use func(epochs []uint64) error) error {
	from, to := max(r.From, 1), cmp.Or(r.To, verdict.MaxEpoch)
	switch {
	case len(r.Epochs) > 0:
		return use(slices.Compact(slices.Sorted(slices.Values(r.Epochs))))
	case r.Sample == 0:
		return report.EachShard(ctx, a.Store, a.Namespace, from, to, use)
	}
	sample, err := report.Sample(ctx, a.Store, a.Namespace, from, to, r.Sample)
	if err != nil {
		return err
	}
	return use(sample)
}
