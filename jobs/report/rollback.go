package report

import (
	"cmp"
	"context"
	"errors"
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
	found, err := FindRollbacks(ctx, store, s.Namespace, wanted)
	for epoch, v := range found {
		s.Rollbacks = append(s.Rollbacks, Rollback{Epoch: epoch, To: v.Epoch, PreviousDigest: v.Digest})
	}
	slices.SortFunc(s.Rollbacks, func(a, b Rollback) int { return cmp.Compare(a.Epoch, b.Epoch) })
	return err
}

// FindRollbacks returns, for verified epochs and the digests that they begin with, the verdict on
// the last epoch before each that is verified and ended with that digest, if other verified epochs
// came between. For an epoch that continues none, or the last one that is verified, as after a
// rejected epoch of which the log took back what it said, there is nothing.
func FindRollbacks(ctx context.Context, store *auditstore.Store, namespace string, wanted map[uint64]string) (map[uint64]verdict.Verdict, error) {
	found, err := findEnds(ctx, store, namespace, wanted)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	h, err := ReadHistory(ctx, store, namespace)
	if err != nil {
		return nil, err
	}
	for epoch, end := range found {
		between, err := anyVerified(ctx, store, h, end.Epoch+1, epoch-1)
		if err != nil {
			return nil, err
		}
		if !between {
			delete(found, epoch)
		}
	}
	return found, nil
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
