package frontier

import (
	"math/rand/v2"
	"slices"

	"github.com/ktaudit/ktaudit/verdict/epochset"
)

// Gaps are epochs that a log has not published, as far as is known: runs of them, ascending, no two
// of which touch. The zero value has none.
type Gaps []epochset.Range

// Find returns the place of the run that epoch is in, or would come before.
func (g Gaps) Find(epoch uint64) (i int, found bool) {
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

// Has reports whether an epoch is in a gap.
func (g Gaps) Has(epoch uint64) bool {
	_, found := g.Find(epoch)
	return found
}

// Add puts an epoch into a gap.
func (g *Gaps) Add(epoch uint64) {
	i, found := g.Find(epoch)
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

// ToLocate returns the first epochs of up to n runs, with which a log would go on, and up to n
// others by chance, ascending.
func (g Gaps) ToLocate(n int) []uint64 {
	epochs := g.some(n)
	for _, r := range g[:min(len(g), n)] {
		epochs = append(epochs, r.From)
	}
	slices.Sort(epochs)
	return slices.Compact(epochs)
}

// some returns up to n of the epochs by chance, or all if there are no more.
func (g Gaps) some(n int) []uint64 {
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
