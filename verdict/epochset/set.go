package epochset

import (
	"iter"

	"github.com/ktaudit/ktaudit/verdict"
)

// Set is a set of epochs, a bit each, so that the millions that a queue holds take little
// memory. The zero value is empty.
type Set struct {
	shards map[uint64]*[(verdict.EpochsPerShard + 63) / 64]uint64
}

func (s *Set) Add(epoch uint64) {
	if s.shards == nil {
		s.shards = map[uint64]*[(verdict.EpochsPerShard + 63) / 64]uint64{}
	}
	shard := s.shards[epoch/verdict.EpochsPerShard]
	if shard == nil {
		shard = new([(verdict.EpochsPerShard + 63) / 64]uint64)
		s.shards[epoch/verdict.EpochsPerShard] = shard
	}
	i := epoch % verdict.EpochsPerShard
	shard[i/64] |= 1 << (i % 64)
}

func (s *Set) Has(epoch uint64) bool {
	shard := s.shards[epoch/verdict.EpochsPerShard]
	i := epoch % verdict.EpochsPerShard
	return shard != nil && shard[i/64]&(1<<(i%64)) != 0
}

// All yields the epochs, those of a shard in order.
func (s *Set) All() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for shard := range s.shards {
			for epoch := shard * verdict.EpochsPerShard; epoch < (shard+1)*verdict.EpochsPerShard; epoch++ {
				if s.Has(epoch) && !yield(epoch) {
					return
				}
			}
		}
	}
}

// RemoveShard takes the epochs of a shard out of the set.
func (s *Set) RemoveShard(shard uint64) { delete(s.shards, shard) }
