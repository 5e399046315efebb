package report

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
	"golang.org/x/sync/errgroup"
)

// FindRollbacks returns, for verified epochs and the digests that they begin with, the verdict on
// the last epoch before each that is verified and ended with that digest, if other verified epochs
// came between. For the last one that is verified, as after a rejected epoch of which the log took
// back what it said, there is nothing. Unknown are those that continue no epoch that is verified.
func FindRollbacks(ctx context.Context, store *auditstore.Store, namespace string, wanted map[uint64]string) (
	rollbacks map[uint64]verdict.Verdict, unknown []uint64, err error) {
	found, err := findEnds(ctx, store, namespace, wanted)
	if err != nil {
		return nil, nil, err
	}
	for epoch := range wanted {
		if _, known := found[epoch]; !known {
			unknown = append(unknown, epoch)
		}
	}
	if len(found) == 0 {
		return nil, unknown, nil
	}
	h, err := ReadHistory(ctx, store, namespace)
	if err != nil {
		return nil, nil, err
	}
	for epoch, end := range found {
		between, err := anyVerified(ctx, store, h, end.Epoch+1, epoch-1)
		if err != nil {
			return nil, nil, err
		}
		if !between {
			delete(found, epoch)
		}
	}
	return found, unknown, nil
}

// findEnds returns, for epochs and digests, the verdict on the last epoch before each that is
// verified and ended with that digest. The index of digests has them all, one listing for each, but
// for shards that were not entered in it yet, whose seals and verdicts are read.
func findEnds(ctx context.Context, store *auditstore.Store, namespace string, wanted map[uint64]string) (map[uint64]verdict.Verdict, error) {
	f := endFinder{store: store, namespace: namespace, wanted: wanted, byPrefix: map[string][]uint64{}, found: map[uint64]verdict.Verdict{}}
	if len(wanted) == 0 {
		return f.found, nil
	}
	indexed, err := store.IndexedShards(ctx, namespace)
	if err != nil {
		return nil, err
	}
	last := uint64(0)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(ReadAhead)
	for epoch, digest := range wanted {
		last = max(last, epoch-1)
		prefix := verdict.DigestPrefix(digest)
		f.byPrefix[prefix] = append(f.byPrefix[prefix], epoch)
		group.Go(func() error { return f.lookUp(groupCtx, epoch, digest) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if from := max(1, indexed*verdict.EpochsPerShard); from <= last {
		err = f.scan(ctx, from, last)
	}
	return f.found, err
}

// endFinder finds the last epochs that ended with some digests.
type endFinder struct {
	store     *auditstore.Store
	namespace string
	wanted    map[uint64]string
	byPrefix  map[string][]uint64 // the epochs in wanted, by the beginning of the digest

	mu    sync.Mutex
	found map[uint64]verdict.Verdict
}

// lookUp asks the index about one epoch. An entry counts if its epoch's verdict bears it out.
func (f *endFinder) lookUp(ctx context.Context, epoch uint64, digest string) error {
	entries, err := f.store.EpochsOfDigest(ctx, f.namespace, digest, epoch)
	if err != nil {
		return err
	}
	for _, entry := range slices.Backward(entries) {
		v, err := f.store.Verdict(ctx, f.namespace, entry)
		if auditstore.IsLost(err) {
			continue
		}
		if err != nil {
			return err
		}
		if v.Outcome != verdict.Verified || v.Digest != digest {
			v, err = f.store.Newest(ctx, v)
		}
		if err != nil {
			return err
		}
		if v.Outcome == verdict.Verified && v.Digest == digest {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.found[epoch] = v
			return nil
		}
	}
	return nil
}

// scan looks through the seals and verdicts of some epochs. A verdict that is gone or damaged ends
// with no digest that is known.
func (f *endFinder) scan(ctx context.Context, from, last uint64) error {
	h, err := ReadHistory(ctx, f.store, f.namespace)
	if err != nil {
		return err
	}
	err = Walk(ctx, f.store, h, from, last, Visitor{
		Sealed: func(verdict.Span) error { return nil },
		Open: func(epochs []uint64) error {
			group, ctx := errgroup.WithContext(ctx)
			group.SetLimit(ReadAhead)
			for _, epoch := range epochs {
				group.Go(func() error { return f.read(ctx, epoch) })
			}
			return group.Wait()
		},
	})
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(ReadAhead)
	for shard := range EachSealedShard(h, from, last) {
		group.Go(func() error {
			seal, _, err := f.store.Seal(ctx, f.namespace, shard)
			if auditstore.IsLost(err) {
				return nil // Sealer.Check raises it
			}
			for i, prefix := range seal.Digests {
				if err == nil && prefix != "" && f.byPrefix[prefix] != nil {
					err = f.read(ctx, seal.From+uint64(i))
				}
			}
			return err
		})
	}
	return group.Wait()
}

// read takes in one verdict.
func (f *endFinder) read(ctx context.Context, epoch uint64) error {
	v, err := f.store.Verdict(ctx, f.namespace, epoch)
	if auditstore.IsLost(err) {
		return nil
	}
	if err != nil || v.Outcome != verdict.Verified {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, at := range f.byPrefix[verdict.DigestPrefix(v.Digest)] {
		if epoch < at && f.wanted[at] == v.Digest && f.found[at].Epoch < epoch {
			f.found[at] = v
		}
	}
	return nil
}

// anyVerified reports whether one of the epochs from from to to is verified.
func anyVerified(ctx context.Context, store *auditstore.Store, h verdict.History, from, to uint64) (bool, error) {
	if from > to {
		return false, nil
	}
	enough := errors.New("enough")
	err := Walk(ctx, store, h, from, to, Visitor{
		Sealed: func(span verdict.Span) error {
			if uint64(len(span.Rejected)) < span.Epochs() {
				return enough
			}
			return nil
		},
		Open: func(epochs []uint64) error {
			for _, epoch := range epochs {
				v, err := store.Verdict(ctx, h.Namespace, epoch)
				if err != nil && !auditstore.IsLost(err) {
					return err
				}
				if err == nil && v.Outcome == verdict.Verified {
					return enough
				}
			}
			return nil
		},
	})
	if errors.Is(err, enough) {
		return true, nil
	}
	return false, err
}
