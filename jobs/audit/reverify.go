package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
	"golang.org/x/sync/errgroup"
)

// ErrNeedsKeys says that an epoch was judged by its signed digest, and that the auditor that is to look at it again trusts no
// key: it would see less than was seen before.
var ErrNeedsKeys = errors.New("was judged by its signed digest, and no key is trusted now")

// Reaudit takes a new look at an epoch that has a verdict and returns what it found. It writes nothing, unless what it found
// contradicts the verdict on record: then that is kept as evidence, with the batch that shows it, and raised as an alert, and the
// error is a *ContradictionError. The verdict on record stays.
//
// Any other error means that there was no new look: the epoch has no verdict (blobstore.ErrNotFound), ErrNeedsKeys, or the way to
// the log is at fault. What the log no longer has is not held against it.
func (a *Auditor) Reaudit(ctx context.Context, epoch uint64) (found verdict.Verdict, err error) {
	defer func() {
		if p := recover(); p != nil {
			a.Log.Error().Uint64("epoch", epoch).Interface("panic", p).Bytes("stack", debug.Stack()).Msg("panic in an audit")
			err = fmt.Errorf("epoch %d: panic: %v", epoch, p)
		}
	}()
	recorded, err := a.Store.Verdict(ctx, a.Namespace, epoch)
	if err != nil {
		return verdict.Verdict{}, err
	}
	if recorded.Signature.Status != verdict.SignatureNotRequired && a.Keys.Len() == 0 {
		return verdict.Verdict{}, fmt.Errorf("epoch %d %w", epoch, ErrNeedsKeys)
	}
	quiet := &Auditor{Config: a.Config}
	quiet.Archive, quiet.Metrics = false, nil // an epoch counts once
	j := &judgement{auditor: quiet, started: time.Now(), measured: observe.Nothing{}}
	defer j.close() // drops what would be archived of a rejection
	if err := j.reach(ctx, epoch); err != nil {
		return verdict.Verdict{}, err
	}
	if err := j.compare(ctx); err != nil {
		return verdict.Verdict{}, err
	}
	j.verdict.FinishedAt = time.Now().UTC()
	if !recorded.Contradicts(j.verdict) {
		return j.verdict, nil
	}
	ctx, cancel := wait.Outlive(ctx, saveTimeout)
	defer cancel()
	j.keepLate(ctx)
	return j.verdict, j.contradict(ctx, recorded)
}

// compare is confirm without the writing: a verdict may rest on what is around the epoch.
func (j *judgement) compare(ctx context.Context) error {
	if j.object.Key == "" {
		return nil
	}
	before, after, err := j.lookAround(ctx)
	switch {
	case err != nil:
		return j.judgeName(err)
	case j.verdict.Outcome == verdict.Verified:
		return j.holdAgainst(before, after)
	}
	return nil
}

// Reverification says which epochs to look at again.
type Reverification struct {
	Epochs      []uint64 // these; if there are none, all with a verdict
	From, To    uint64   // from From (0: the first) to To (0: the last),
	Sample      int      // or so many of them by chance; 0: all
	Concurrency int      // at the same time; 0: one
}

// Reverify calls Reaudit for epochs and visit, one call at a time and in no order, with what came of it.
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

// choose calls look with the epochs to look at.
func (a *Auditor) choose(ctx context.Context, r Reverification, look func(epochs []uint64) error) error {
	from, to := max(r.From, 1), cmp.Or(r.To, verdict.MaxEpoch)
	switch {
	case len(r.Epochs) > 0:
		return look(slices.Compact(slices.Sorted(slices.Values(r.Epochs))))
	case r.Sample == 0:
		return report.EachJudged(ctx, a.Store, a.Namespace, from, to, look)
	}
	// Each epoch of the so many seen so far is in the sample with the same chance.
	var sample []uint64
	seen := 0
	err := report.EachJudged(ctx, a.Store, a.Namespace, from, to, func(epochs []uint64) error {
		for _, epoch := range epochs {
			seen++
			if len(sample) < r.Sample {
				sample = append(sample, epoch)
			} else if i := rand.IntN(seen); i < r.Sample {
				sample[i] = epoch
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(sample)
	return look(sample)
}
