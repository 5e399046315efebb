package summary

import (
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

type chainRange = verdict.ChainRange

// Bucket is how many epochs of a run each tier has.
type Bucket struct {
	From, To uint64
	Tiers    [5]uint64 // in the order of TierNames
	Rejected int
	Breaks   int // where digests or names contradict each other
}

// Epochs is how many epochs the bucket has.
func (b Bucket) Epochs() uint64 { return b.To - b.From + 1 }

// Bounds are the first and the last epoch that anything is known of; 0 if nothing is.
func (s *Summary) Bounds() (from, to uint64) {
	for _, t := range s.Tiers {
		if len(t.All) == 0 {
			continue
		}
		if first := t.All[0].From; from == 0 || first < from {
			from = first
		}
		to = max(to, t.All[len(t.All)-1].To)
	}
	if s.Log.First > 0 && s.Log.First <= to {
		from = s.Log.First
	}
	return from, to
}

// BucketSize is a power of ten, so that a range has at most n buckets.
func BucketSize(from, to uint64, n uint64) uint64 {
	size := uint64(1)
	for (to/size)-(from/size)+1 > n {
		size *= 10
	}
	return size
}

// Strip counts the epochs from from to to, in buckets of a size that begin with its multiples.
func (s *Summary) Strip(from, to, size uint64) []Bucket {
	var buckets []Bucket
	rejected, breaks := s.Status.Rejected, s.Status.Breaks
	for start := from; start <= to; {
		end := min((start/size+1)*size-1, to)
		b := Bucket{From: start, To: end}
		for i, t := range s.Tiers {
			b.Tiers[i] = t.Count(start, end)
		}
		for ; len(rejected) > 0 && rejected[0].Epoch <= end; rejected = rejected[1:] {
			if rejected[0].Epoch >= start {
				b.Rejected++
			}
		}
		for ; len(breaks) > 0 && breaks[0].Epoch <= end; breaks = breaks[1:] {
			if breaks[0].Epoch >= start {
				b.Breaks++
			}
		}
		if s.Chain != nil {
			b.Breaks += len(epochset.Within(s.Chain.Breaks, start, end))
			for _, d := range s.Chain.Doubles {
				if d.From <= end && start <= d.To {
					b.Breaks++
				}
			}
		}
		buckets = append(buckets, b)
		start = end + 1
	}
	return buckets
}
