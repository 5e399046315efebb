package report

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
	"golang.org/x/sync/errgroup"
)

// Rollback is where a log went back: Epoch, which is verified, begins with the digest that an
// earlier one than the epoch before ended with. What came between is not in its tree.
type Rollback struct {
	Epoch          uint64 `json:"epoch"`
	To             uint64 `json:"to"` // the epoch that it begins after
	PreviousDigest string `json:"previous_digest"`
}

// maxRollbacks bounds how many epochs a Status looks for rollbacks at.
const maxRollbacks = 1000

// readRollbacks looks for rollbacks at the verified epochs after a rejected one and at the breaks.
func (s *statusReader) readRollbacks(ctx context.Context, store *auditstore.Store) error {
	wanted := map[uint64]string{}
	for _, r := range s.Verified {
		_, rejected := slices.BinarySearchFunc(s.Rejected, r.From-1, func(r RejectedEpoch, epoch uint64) int { return cmp.Compare(r.Epoch, epoch) })
		at, broken := slices.BinarySearchFunc(s.Breaks, r.From, func(b Break, epoch uint64) int { return cmp.Compare(b.Epoch, epoch) })
		broken = broken && !s.Breaks[at].Anchored
		if len(wanted) == maxRollbacks || !rejected && !broken {
			continue
		}
		v, err := store.Verdict(ctx, s.Namespace, r.From)
		if auditstore.IsLost(err) {
			continue // readDetails says so where it matters
		}
		if err != nil {
			return err
		}
		wanted[r.From] = v.PreviousDigest
	}
	found, err := FindEnds(ctx, store, s.Namespace, wanted)
	for epoch, v := range found {
		s.Rollbacks = append(s.Rollbacks, Rollback{Epoch: epoch, To: v.Epoch, PreviousDigest: v.Digest})
	}
	slices.SortFunc(s.Rollbacks, func(a, b Rollback) int { return cmp.Compare(a.Epoch, b.Epoch) })
	return err
}

// FindEnds returns, for epochs and the digests that they begin with, the verdict on the last epoch
// before each that is verified and ended with that digest, if other verified epochs came between.
// For an epoch that continues none, or the last one that is verified, as after a rejected epoch of
// which the log took back what it said, there is nothing.
//
// It reads every verdict that is not sealed, and every seal: it is for what happens rarely.
func FindEnds(ctx context.Context, store *auditstore.Store, namespace string, wanted map[uint64]string) (map[uint64]verdict.Verdict, error) {
	found := map[uint64]verdict.Verdict{}
	if len(wanted) == 0 {
		return found, nil
	}
	h, err := ReadHistory(ctx, store, namespace)
	if err != nil {
		return nil, err
	}
	last := uint64(0)
	before := newNewestBefore(wanted)
	byPrefix := map[string][]uint64{}
	for epoch, digest := range wanted {
		last = max(last, epoch-1)
		prefix := verdict.DigestPrefix(digest)
		byPrefix[prefix] = append(byPrefix[prefix], epoch)
	}
	var mu sync.Mutex
	// read takes in one verdict. One that is gone or damaged ends with no digest that is known.
	read := func(ctx context.Context, epoch uint64) error {
		v, err := store.Verdict(ctx, namespace, epoch)
		if auditstore.IsLost(err) {
			return nil
		}
		if err != nil || v.Outcome != verdict.Verified {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		before.add(epoch)
		for _, at := range byPrefix[verdict.DigestPrefix(v.Digest)] {
			if epoch < at && wanted[at] == v.Digest && found[at].Epoch < epoch {
				found[at] = v
			}
		}
		return nil
	}
	err = Walk(ctx, store, h, 1, last, Visitor{
		Sealed: func(span verdict.Span) error {
			before.addSpan(span)
			return nil
		},
		Open: func(epochs []uint64) error {
			group, ctx := errgroup.WithContext(ctx)
			group.SetLimit(ReadAhead)
			for _, epoch := range epochs {
				group.Go(func() error { return read(ctx, epoch) })
			}
			return group.Wait()
		},
	})
	if err != nil {
		return nil, err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(ReadAhead)
	for shard := range EachSealedShard(h, 1, last) {
		group.Go(func() error {
			seal, _, err := store.Seal(ctx, namespace, shard)
			if auditstore.IsLost(err) {
				return nil // Sealer.Check raises it
			}
			for i, prefix := range seal.Digests {
				if err == nil && prefix != "" && byPrefix[prefix] != nil {
					err = read(ctx, seal.From+uint64(i))
				}
			}
			return err
		})
	}
	err = group.Wait()
	for at, newest := range before.all() {
		if found[at].Epoch == newest {
			delete(found, at)
		}
	}
	return found, err
}

// newestBefore finds the newest verified epoch before each of some epochs.
type newestBefore struct {
	at     []uint64 // ascending
	newest []uint64 // since the one before in at; 0: none
}

func newNewestBefore(wanted map[uint64]string) newestBefore {
	at := slices.Sorted(maps.Keys(wanted))
	return newestBefore{at, make([]uint64, len(at))}
}

// add takes in a verified epoch.
func (b newestBefore) add(epoch uint64) {
	if i, _ := slices.BinarySearch(b.at, epoch+1); i < len(b.at) {
		b.newest[i] = max(b.newest[i], epoch)
	}
}

// addSpan takes in epochs that all have a verdict.
func (b newestBefore) addSpan(span verdict.Span) {
	for _, at := range append(slices.Clone(b.at), span.To+1) {
		epoch := min(at-1, span.To)
		for epoch >= span.From && span.IsRejected(epoch) {
			epoch--
		}
		if epoch >= span.From {
			b.add(epoch)
		}
	}
}

// all yields each epoch with the newest verified one before it; 0 if there is none.
func (b newestBefore) all() iter.Seq2[uint64, uint64] {
	return func(yield func(uint64, uint64) bool) {
		newest := uint64(0)
		for i, at := range b.at {
			newest = max(newest, b.newest[i])
			if !yield(at, newest) {
				return
			}
		}
	}
}
