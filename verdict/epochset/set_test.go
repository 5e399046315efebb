package epochset_test

import (
	"testing"

	"github.com/ktaudit/ktaudit/verdict/epochset"
)

func TestEpochSet(t *testing.T) {
	t.Parallel()
	var set epochset.Set
	members := map[uint64]bool{0: true, 63: true, 64: true, 999: true, 1000: true, 1 << 40: true, 1<<64 - 1: true}
	for epoch := range members {
		set.Add(epoch)
	}
	for epoch := range members {
		for _, e := range []uint64{epoch - 1, epoch, epoch + 1, epoch + 1000} {
			if set.Has(e) != members[e] {
				t.Errorf("has(%d) is %v", e, set.Has(e))
			}
		}
	}
}
