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

func TestText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		epochs []uint64
		want   string
	}{
		{nil, ""},
		{[]uint64{7}, "epoch 7"},
		{[]uint64{7, 7, 8}, "epochs 7–8"},
		{[]uint64{1, 2, 3, 9, 11}, "epochs 1–3, 9, 11"},
		{[]uint64{1, 3, 5, 7}, "epochs between 1 and 7"},
	} {
		if got := epochset.Text(epochset.Runs(c.epochs), 3); got != c.want {
			t.Errorf("%d: %q, want %q", c.epochs, got, c.want)
		}
	}
}
