package frontier

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
)

// start goes to the highest epoch with a verdict that the log has come to, and finds out when that
// was published. It saves the way there, and nothing else: a verdict alone shows that an object was
// there, wherever that was, and not that the log was.
func (f *Frontier) start(ctx context.Context, now time.Time) error {
	if f.config.Start != 0 {
		f.startAt(f.config.Start)
		return f.date(ctx, now)
	}
	shards, err := f.config.Store.Shards(ctx, f.config.Namespace, f.config.First/verdict.EpochsPerShard, verdict.MaxEpoch/verdict.EpochsPerShard)
	if err != nil {
		return fmt.Errorf("verdicts of %s: %w", f.config.Namespace, err)
	}
	// Mostly it is the last one, and else one of those before.
	best, from, to := f.config.First-1, 0, len(shards)
	for i := to - 1; from < to; i = from + (to-from)/2 {
		epochs, err := f.config.Store.Epochs(ctx, f.config.Namespace, shards[i])
		if err != nil {
			return fmt.Errorf("verdicts of %s: %w", f.config.Namespace, err)
		}
		reached := false
		if n := len(epochs); n > 0 && epochs[n-1] >= f.config.First {
			if reached, err = f.isReached(ctx, epochs[n-1]); err != nil {
				return err
			}
			if reached {
				best = epochs[n-1]
			}
		}
		if reached {
			from = i + 1
		} else {
			to = i
		}
	}
	f.startAt(best)
	return f.date(ctx, now)
}

// isReached reports whether the epochs up to one were there: the two before it, and others by
// chance.
func (f *Frontier) isReached(ctx context.Context, epoch uint64) (bool, error) {
	for i := range uint64(2 + samples) {
		other := epoch - min(epoch, i+1)
		if i >= 2 {
			other = f.config.First + rand.N(epoch-f.config.First+1)
		}
		if other < f.config.First {
			continue
		}
		there, err := f.wasThere(ctx, other)
		if err != nil || !there {
			return false, err
		}
	}
	return true, nil
}

// wasThere reports whether an epoch has a verdict, or else whether the log has it.
func (f *Frontier) wasThere(ctx context.Context, epoch uint64) (bool, error) {
	_, err := f.config.Store.Verdict(ctx, f.config.Namespace, epoch)
	if err == nil || auditstore.IsUnreadable(err) {
		return true, nil
	}
	if !errors.Is(err, auditstore.ErrNotFound) {
		return false, err
	}
	answer, err := Locate(ctx, f.config.Log, epoch)
	return answer.Published, err
}

// date finds out when the epoch to start at was published, and how often the log publishes.
func (f *Frontier) date(ctx context.Context, now time.Time) error {
	at := f.chained.epoch
	if at < f.config.First {
		return nil
	}
	if before := at - min(at, paceSpan); f.config.Cadence == 0 && before >= f.config.First {
		answer, err := Locate(ctx, f.config.Log, before)
		if err != nil {
			return err
		}
		f.pace.add(before, answer.Object.ModTime)
	}
	answer, err := Locate(ctx, f.config.Log, at)
	if err != nil || !answer.Published {
		return err
	}
	f.chained = place(at, answer, now)
	f.newest = f.chained
	f.pace.add(at, answer.Object.ModTime)
	return nil
}
