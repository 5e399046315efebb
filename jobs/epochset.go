package jobs

import (
	"fmt"
	"iter"

	"github.com/ktaudit/ktaudit/blobstore"
)

// shardSize is how many epochs the audit store keeps in one shard.
const shardSize = 1000

// epochSet is a set of epochs, a bit each, so that the millions that a queue holds take little memory. The zero value is
// empty.
type epochSet struct {
	shards map[uint64]*[(shardSize + 63) / 64]uint64
}

func (s *epochSet) add(epoch uint64) {
	if s.shards == nil {
		s.shards = map[uint64]*[(shardSize + 63) / 64]uint64{}
	}
	shard := s.shards[epoch/shardSize]
	if shard == nil {
		shard = new([(shardSize + 63) / 64]uint64)
		s.shards[epoch/shardSize] = shard
	}
	i := epoch % shardSize
	shard[i/64] |= 1 << (i % 64)
}

func (s *epochSet) has(epoch uint64) bool {
	shard := s.shards[epoch/shardSize]
	i := epoch % shardSize
	return shard != nil && shard[i/64]&(1<<(i%64)) != 0
}

// all yields the epochs, those of a shard in order.
func (s *epochSet) all() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for shard := range s.shards {
			for epoch := shard * shardSize; epoch < (shard+1)*shardSize; epoch++ {
				if s.has(epoch) && !yield(epoch) {
					return
				}
			}
		}
	}
}

// checkRange refuses epochs that no verdict can be on, and ranges whose size or end would overflow.
func checkRange(from, to uint64) error {
	if from == 0 || to < from || to > blobstore.MaxEpoch {
		return fmt.Errorf("epochs %d to %d: want 1 ≤ from ≤ to ≤ %d", from, to, uint64(blobstore.MaxEpoch))
	}
	return nil
}
