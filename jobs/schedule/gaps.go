package schedule

import (
	"math/rand/v2"
	"slices"

	"github.com/ktaudit/ktaudit/verdict/epochset"
)

// gaps are the epochs of a backfill that the log has not published, as far as is known: runs of
// them, ascending, no two of which touch. They have no place in the window or on the queue, so that
// history goes on behind them, however long they are. Nobody knows them after a restart; they are
// found again.
type gaps []epochset.Range

// search returns the run that epoch is in, or would come before.
func (g gaps) search(epoch uint64) (i int, found bool) {
	return slices.BinarySearchFunc(g, epoch, func(r epochset.Range, epoch uint64) int {
		switch {
		case r.To < epoch:
			return -1
		case r.From > epoch:
			return 1
		}
		return 0
	})
}

func (g gaps) has(epoch uint64) bool {
	_, found := g.search(epoch)
	return found
}

func (g *gaps) add(epoch uint64) {
	i, found := g.search(epoch)
	if found {
		return
	}
	s := *g
	after, before := i < len(s) && s[i].From == epoch+1, i > 0 && s[i-1].To == epoch-1
	switch {
	case after && before:
		s[i-1].To = s[i].To
		s = slices.Delete(s, i, i+1)
	case after:
		s[i].From = epoch
	case before:
		s[i-1].To = epoch
	default:
		s = slices.Insert(s, i, epochset.Range{From: epoch, To: epoch})
	}
	*g = s
}

// some returns up to n of the epochs by chance, or all if there are no more.
func (g gaps) some(n int) []uint64 {
	total := uint64(0)
	for _, r := range g {
		total += r.To - r.From + 1
	}
	var picks []uint64 // as places in the runs, one after the other
	for i := range min(uint64(n), total) {
		if total > uint64(n) {
			i = rand.N(total)
		}
		picks = append(picks, i)
	}
	slices.Sort(picks)
	var some []uint64
	before := uint64(0)
	for _, r := range g {
		size := r.To - r.From + 1
		for len(picks) > 0 && picks[0]-before < size {
			some, picks = append(some, r.From+picks[0]-before), picks[1:]
		}
		before += size
	}
	return slices.Compact(some)
}
