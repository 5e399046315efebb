package summary

import (
	"sort"

	"github.com/ktaudit/ktaudit/verdict/epochset"
)

// Ranges are runs of epochs, ascending and apart, that tell how many of them lie in a range.
type Ranges struct {
	All    []epochset.Range
	before []uint64 // how many epochs the runs before have
}

// NewRanges takes runs in ascending order.
func NewRanges(all []epochset.Range) Ranges {
	r := Ranges{All: all, before: make([]uint64, len(all)+1)}
	for i, one := range all {
		r.before[i+1] = r.before[i] + one.To - one.From + 1
	}
	return r
}

// Total is how many epochs there are.
func (r Ranges) Total() uint64 {
	if len(r.before) == 0 {
		return 0
	}
	return r.before[len(r.All)]
}

// Count is how many of them lie from from to to.
func (r Ranges) Count(from, to uint64) uint64 {
	if to < from {
		return 0
	}
	return r.upTo(to) - r.upTo(from-1)
}

// upTo is how many are at most an epoch.
func (r Ranges) upTo(epoch uint64) uint64 {
	i := sort.Search(len(r.All), func(i int) bool { return r.All[i].From > epoch })
	if i == 0 {
		return 0
	}
	last := r.All[i-1]
	return r.before[i-1] + min(epoch, last.To) - last.From + 1
}

// Union is what is in any of several.
func Union(several ...[]epochset.Range) []epochset.Range {
	var all []epochset.Range
	for _, some := range several {
		all = append(all, some...)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].From < all[j].From })
	var joined []epochset.Range
	for _, r := range all {
		if n := len(joined); n > 0 && r.From <= joined[n-1].To+1 {
			joined[n-1].To = max(joined[n-1].To, r.To)
		} else {
			joined = append(joined, r)
		}
	}
	return joined
}
