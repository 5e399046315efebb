package seal

import (
	"cmp"
	"context"
	"strconv"
	"sync"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
	"golang.org/x/sync/errgroup"
)

// findReuse records epochs in a shard that have the digest of one in another shard.
//
// Each verified epoch adds a leaf, so its tree has all leaves of the tree before it and one more,
// and while each epoch continues the one before, no tree comes again. So there is nothing to look
// for unless the seal, with what is sealed already, has a rejection, a break or a gap. Then the
// seals of all shards are read, once, and their digests kept: 8 KB of memory a shard.
func (s *Sealer) findReuse(ctx context.Context, h *verdict.History, seal sealed) error {
	unbroken := len(seal.Rejected)+len(seal.Breaks) == 0
	switch len(h.Spans) {
	case 0:
		return nil
	case 1:
		span := h.Spans[0]
		if unbroken && len(span.Rejected)+len(span.Breaks) == 0 &&
			(follows(span.Span, seal.Span) || follows(seal.Span, span.Span)) {
			return nil
		}
	}
	if err := s.readDigests(ctx, h); err != nil {
		return err
	}
	own := map[uint64]uint64{}
	digests := prefixes(seal.Seal)
	for i, digest := range digests {
		own[digest] = seal.From + uint64(i)
	}
	delete(own, 0)
	for shard, digests := range s.digests {
		if shard == seal.Shard {
			continue
		}
		from, _ := verdict.ShardRange(shard)
		for i, digest := range digests {
			if epoch, alike := own[digest]; alike {
				if err := s.recordReuse(ctx, from+uint64(i), epoch); err != nil {
					return err
				}
			}
		}
	}
	s.digests[seal.Shard] = digests
	return nil
}

// follows reports whether the second span continues the first.
func follows(first, second verdict.Span) bool {
	return first.To+1 == second.From && verdict.LinkDigests(first.Digest, second.PreviousDigest) == verdict.Linked
}

// recordReuse records two epochs whose digests begin alike, if they are the same.
func (s *Sealer) recordReuse(ctx context.Context, a, b uint64) error {
	first, second, err := s.readPair(ctx, min(a, b), max(a, b))
	if err != nil || second.Epoch == 0 || first.Digest != second.Digest {
		return err
	}
	return s.incidents().RecordBrokenChain(ctx, verdict.DigestReused, first, second)
}

// readDigests reads the digests of all sealed shards that were not read yet.
func (s *Sealer) readDigests(ctx context.Context, h *verdict.History) error {
	if s.digests == nil {
		s.digests = map[uint64][]uint64{}
	}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(report.ListAhead)
	for shard, span := range report.EachSealedShard(*h, 1, verdict.MaxEpoch) {
		mu.Lock()
		known := s.digests[shard] != nil
		mu.Unlock()
		if known {
			continue
		}
		group.Go(func() error {
			seal, _, err := s.Store.Seal(ctx, s.Namespace, shard)
			if auditstore.IsLost(err) {
				// raises it, and keeps no other shard from being sealed
				_, err = s.checkShard(ctx, shard, span, false)
				return err
			}
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			s.digests[shard] = prefixes(seal)
			return nil
		})
	}
	return group.Wait()
}

// prefixes are the beginnings of a seal's digests.
func prefixes(seal verdict.Seal) []uint64 {
	all := make([]uint64, len(seal.Digests))
	for i, text := range seal.Digests {
		all[i], _ = strconv.ParseUint(cmp.Or(text, "0"), 16, 64) // seals have nothing else
	}
	return all
}
