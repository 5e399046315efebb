package frontier

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestGapsAreASet(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var g Gaps
	set := map[uint64]bool{}
	for range 400 {
		epoch := 1 + random.Uint64N(300)
		g.Add(epoch)
		set[epoch] = true
		for i, r := range g {
			if r.To < r.From || i > 0 && r.From <= g[i-1].To+1 {
				t.Fatalf("after %d: %v", epoch, g)
			}
		}
	}
	for epoch := range uint64(302) {
		if g.Has(epoch) != set[epoch] {
			t.Errorf("has %d: %v", epoch, !set[epoch])
		}
	}
	seen := map[uint64]bool{}
	for range 1000 {
		some := g.some(5)
		if len(some) == 0 || len(some) > 5 || !slices.IsSorted(some) {
			t.Fatalf("some are %d", some)
		}
		for _, epoch := range some {
			seen[epoch] = true
			if !set[epoch] {
				t.Fatalf("%d is in no gap", epoch)
			}
		}
	}
	if len(seen) != len(set) {
		t.Errorf("of %d epochs %d come by chance", len(set), len(seen))
	}
	if all := g.some(len(set)); len(all) != len(set) {
		t.Errorf("all are %d, want %d", len(all), len(set))
	}
	if some := Gaps(nil).some(3); some != nil {
		t.Errorf("of nothing there are %d", some)
	}
}
