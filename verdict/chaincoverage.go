package verdict

import (
	"cmp"
	"slices"
)

// ChainCoverage is what a Chain says of a range of epochs. Each of Chained is a statement of its
// own and says no more than this: the names of all epochs from From to To continue each other, one
// batch each.
type ChainCoverage struct {
	From, To uint64 // as asked, or the first and the last epoch with a name; 0 when there is none
	Chained  []ChainRange
	Gaps     []ChainRange // epochs without a name
	Doubles  []ChainRange // epochs with more than one batch
	Breaks   []uint64     // epochs that do not begin with the digest of the epoch before
}

// Whole reports whether one chain covers the whole range.
func (c ChainCoverage) Whole() bool {
	return len(c.Chained) == 1 && len(c.Gaps)+len(c.Doubles)+len(c.Breaks) == 0
}

// Count is how many epochs are chained.
func (c ChainCoverage) Count() uint64 { return CountEpochs(c.Chained) }

// CountEpochs is how many epochs are in ranges that have none in common.
func CountEpochs(ranges []ChainRange) (n uint64) {
	for _, r := range ranges {
		n += r.To - r.From + 1
	}
	return n
}

// Coverage sums up the epochs from from (0: the first with a name) to to (0: the last with a name).
func (c Chain) Coverage(from, to uint64) ChainCoverage {
	s := coverage{ChainCoverage: ChainCoverage{From: from, To: to}, next: from}
	for _, e := range c.Shards {
		doubles := e.Doubles
		for _, r := range e.Runs {
			for len(doubles) > 0 && doubles[0] < r.From {
				s.addDouble(doubles[0])
				doubles = doubles[1:]
			}
			s.addRun(r)
		}
		for _, epoch := range doubles {
			s.addDouble(epoch)
		}
	}
	switch {
	case to != 0:
		s.next = max(s.next, 1)
		s.From = max(from, 1)
		s.addGap(to + 1)
	case s.next > from:
		s.To = s.next - 1
	}
	return s.ChainCoverage
}

// coverage makes a ChainCoverage of what it is given in the order of the epochs.
type coverage struct {
	ChainCoverage
	next   uint64 // the first epoch not accounted for; 0: there is none yet
	digest string // after the epoch before next, if that is one of a run
}

func (s *coverage) addRun(r ChainSpan) {
	if r.To < s.From || s.To != 0 && r.From > s.To {
		return
	}
	if r.From < s.From { // its previous digest is not that of the first epoch, which nothing is held against
		r.From = s.From
	}
	if s.To != 0 && r.To > s.To {
		r.To = s.To // nothing follows that would be held against its digest
	}
	s.addGap(r.From)
	link := LinkDigests(s.digest, r.PreviousDigest)
	if n := len(s.Chained); link == Linked && n > 0 && s.Chained[n-1].To+1 == r.From {
		s.Chained[n-1].To = r.To
	} else {
		if link == Broken {
			s.Breaks = append(s.Breaks, r.From)
		}
		s.Chained = append(s.Chained, ChainRange{r.From, r.To})
	}
	s.next, s.digest = r.To+1, r.Digest
}

func (s *coverage) addDouble(epoch uint64) {
	if epoch < s.From || s.To != 0 && epoch > s.To {
		return
	}
	s.addGap(epoch)
	if n := len(s.Doubles); n > 0 && s.Doubles[n-1].To+1 == epoch {
		s.Doubles[n-1].To = epoch
	} else {
		s.Doubles = append(s.Doubles, ChainRange{epoch, epoch})
	}
	s.next, s.digest = epoch+1, ""
}

// addGap notes that the epochs up to, but not including, end have no name.
func (s *coverage) addGap(end uint64) {
	if s.next == 0 {
		s.From, s.next = end, end
	}
	if s.next < end {
		s.Gaps = append(s.Gaps, ChainRange{s.next, end - 1})
		s.digest = ""
	}
}

// With returns the chain with entries, ascending, in the place of those on the same shards.
func (c Chain) With(entries []ChainEntry) Chain {
	merged := make([]ChainEntry, 0, len(c.Shards)+len(entries))
	old := c.Shards
	for _, e := range entries {
		for len(old) > 0 && old[0].Shard < e.Shard {
			merged, old = append(merged, old[0]), old[1:]
		}
		if len(old) > 0 && old[0].Shard == e.Shard {
			old = old[1:]
		}
		merged = append(merged, e)
	}
	c.Shards = append(merged, old...)
	return c
}

func (c Chain) find(shard uint64) (int, bool) {
	return slices.BinarySearchFunc(c.Shards, shard, func(e ChainEntry, shard uint64) int { return cmp.Compare(e.Shard, shard) })
}
