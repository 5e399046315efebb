package epochset

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ktaudit/ktaudit/verdict"
)

// Range is a run of epochs, both ends included.
type Range struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// Runs returns the runs that ascending epochs make.
func Runs(epochs []uint64) []Range {
	var runs []Range
	for _, epoch := range epochs {
		if n := len(runs); n > 0 && runs[n-1].To+1 >= epoch {
			runs[n-1].To = epoch
		} else {
			runs = append(runs, Range{epoch, epoch})
		}
	}
	return runs
}

// Text names the epochs of ascending runs: "epoch 7", "epochs 1–3, 9". Of more runs than the limit
// it says the bounds, and of none nothing.
func Text(runs []Range, limit int) string {
	switch n := len(runs); {
	case n == 0:
		return ""
	case n == 1 && runs[0].From == runs[0].To:
		return fmt.Sprintf("epoch %d", runs[0].From)
	case n > limit:
		return fmt.Sprintf("epochs between %d and %d", runs[0].From, runs[n-1].To)
	}
	parts := make([]string, len(runs))
	for i, r := range runs {
		parts[i] = strconv.FormatUint(r.From, 10)
		if r.To > r.From {
			parts[i] += "–" + strconv.FormatUint(r.To, 10)
		}
	}
	return "epochs " + strings.Join(parts, ", ")
}

// Within returns the part of ascending epochs that lies between from and to, both included.
func Within(epochs []uint64, from, to uint64) []uint64 {
	low, _ := slices.BinarySearch(epochs, from)
	high, found := slices.BinarySearch(epochs, to)
	if found {
		high++
	}
	return epochs[low:max(low, high)]
}

// Without returns the epochs from from to to that are not among judged, which is ascending.
func Without(from, to uint64, judged []uint64) []uint64 {
	var open []uint64
	for epoch := from; epoch <= to; epoch++ {
		if _, found := slices.BinarySearch(judged, epoch); !found {
			open = append(open, epoch)
		}
	}
	return open
}

// CheckRange refuses epochs that no verdict can be on, and ranges whose size or end would overflow.
func CheckRange(from, to uint64) error {
	if from == 0 || to < from || to > verdict.MaxEpoch {
		return fmt.Errorf("epochs %d to %d: want 1 ≤ from ≤ to ≤ %d", from, to, uint64(verdict.MaxEpoch))
	}
	return nil
}
