package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/validator"
	"golang.org/x/sync/errgroup"
)

// BrokenChain is the reason of an alert on two verified epochs, one after the other, whose digests don't meet.
const BrokenChain validator.Reason = "broken_chain"

// reconcile compares the newest epochs with the audit store, puts those without a verdict on the queue and looks at the verdicts
// that are new.
func (f *follower) reconcile(ctx context.Context, now time.Time, head uint64, lasting []alert.Alert) error {
	from := f.recentFrom(head)
	var judged, open []uint64
	list := func() (_ [][]uint64, err error) {
		if judged, err = f.judged(ctx, from, head); err != nil {
			return nil, err
		}
		open = without(from, head, judged)
		return [][]uint64{open}, nil
	}
	if _, err := list(); err != nil {
		return err
	}
	var errs []error
	if len(open) > 0 {
		errs = append(errs, f.enqueue(ctx, Fresh, list))
	}
	errs = append(errs, f.sight(ctx, f.scheduledLog, now, open))
	errs = append(errs, f.tellSkips(ctx, f.scheduledLog, now, open, lasting), f.endSkips(ctx, now, lasting))
	errs = append(errs, f.tellBacklog(ctx, now, lasting), f.tellStuck(ctx, now, lasting))

	fresh := slices.DeleteFunc(judged, f.checked.has)
	if err := f.check(ctx, fresh); err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, epoch := range fresh {
		f.checked.add(epoch)
	}
	return errors.Join(errs...)
}

// judged lists the epochs of a range that have a verdict. It costs a listing for each shard.
func (l *scheduledLog) judged(ctx context.Context, from, to uint64) ([]uint64, error) {
	var judged []uint64
	for shard := from / shardSize; shard <= to/shardSize; shard++ {
		epochs, err := l.Store.Epochs(ctx, l.Namespace, shard)
		if err != nil {
			return nil, fmt.Errorf("verdicts of %s: %w", l.Namespace, err)
		}
		judged = append(judged, within(epochs, from, to)...)
	}
	return judged, nil
}

// within returns the part of ascending epochs that lies between from and to, both included.
func within(epochs []uint64, from, to uint64) []uint64 {
	low, _ := slices.BinarySearch(epochs, from)
	high, found := slices.BinarySearch(epochs, to)
	if found {
		high++
	}
	return epochs[low:max(low, high)]
}

// without returns the epochs from from to to that are not among judged, which is ascending.
func without(from, to uint64, judged []uint64) []uint64 {
	var open []uint64
	for epoch := from; epoch <= to; epoch++ {
		if _, found := slices.BinarySearch(judged, epoch); !found {
			open = append(open, epoch)
		}
	}
	return open
}

// check raises an alert for each of the epochs that was rejected, in case a worker crashed before it could. Of each that is
// verified but doesn't fit the verified one before or after it, it puts evidence on record and then raises an alert: after a crash
// between the two, whoever looks next does both. Both are there once, however often they are found.
func (l *scheduledLog) check(ctx context.Context, epochs []uint64) error {
	if len(epochs) == 0 {
		return nil
	}
	verdicts, err := l.verdictsAround(ctx, epochs)
	if err != nil {
		return err
	}
	for _, epoch := range epochs {
		v := verdicts[epoch]
		if v.Outcome == blobstore.Rejected {
			if err := l.raise(ctx, alert.OfVerdict(v)); err != nil {
				return err
			}
		}
		for _, pair := range [][2]blobstore.Verdict{{verdicts[epoch-1], v}, {v, verdicts[epoch+1]}} {
			if chained(pair[0], pair[1]) {
				continue
			}
			if err := l.tellBroken(ctx, pair[0], pair[1]); err != nil {
				return fmt.Errorf("the contradiction of epoch %d: %w", pair[1].Epoch, err)
			}
		}
	}
	return nil
}

// chained says whether the second verdict goes on where the first ends. Of one that is missing or rejected nothing can be said.
func chained(first, second blobstore.Verdict) bool {
	return first.Outcome != blobstore.Verified || second.Outcome != blobstore.Verified || first.Digest == second.PreviousDigest
}

// brokenChain is the evidence that two verified epochs are not of one log. A verdict is for ever, so whoever finds two of them at odds
// writes the same bytes.
type brokenChain struct {
	Reason validator.Reason      `json:"reason"`
	Epochs [2]brokenChainVerdict `json:"epochs"`
}

type brokenChainVerdict struct {
	Epoch          uint64 `json:"epoch"`
	PreviousDigest string `json:"previous_digest"`
	Digest         string `json:"digest"`
	BatchKey       string `json:"batch_key"`
	BatchSHA256    string `json:"batch_sha256"`
}

// tellBroken puts on record, at the second of two epochs, that it doesn't go on where the first ends, and raises an alert.
func (l *scheduledLog) tellBroken(ctx context.Context, first, second blobstore.Verdict) error {
	detail := fmt.Sprintf("epoch %d ends with digest %s, epoch %d begins with %s",
		first.Epoch, first.Digest, second.Epoch, second.PreviousDigest)
	l.log.Error().Uint64("epoch", second.Epoch).Str("detail", detail).Msg("verified epochs don't fit")
	found := brokenChain{Reason: BrokenChain}
	for i, v := range []blobstore.Verdict{first, second} {
		found.Epochs[i] = brokenChainVerdict{v.Epoch, v.PreviousDigest, v.Digest, v.Batch.Key, v.Batch.SHA256}
	}
	data, err := json.Marshal(found)
	if err != nil {
		return err
	}
	p := piece{"broken-chain", data}
	if err := l.Store.PutEvidence(ctx, l.Namespace, second.Epoch, p.name(), p.data); err != nil {
		return err
	}
	return l.raise(ctx, alert.OfBrokenChain(l.Namespace, second.Epoch, string(BrokenChain), detail))
}

// verdictsAround reads the verdicts of the epochs and their neighbours, as far as there are any.
func (l *scheduledLog) verdictsAround(ctx context.Context, epochs []uint64) (map[uint64]blobstore.Verdict, error) {
	wanted := map[uint64]bool{}
	for _, epoch := range epochs {
		wanted[epoch-1], wanted[epoch], wanted[epoch+1] = true, true, true
	}
	delete(wanted, 0)
	verdicts := make(map[uint64]blobstore.Verdict, len(wanted))
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readAhead)
	for epoch := range wanted {
		group.Go(func() error {
			v, err := l.Store.Verdict(ctx, l.Namespace, epoch)
			if errors.Is(err, blobstore.ErrNotFound) || epoch > blobstore.MaxEpoch {
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
