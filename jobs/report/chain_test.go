package report

import (
	"slices"
	"testing"

	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

// What is seen is the range of a walk without its gaps.
func TestSeen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		from, to uint64
		gaps     []verdict.ChainRange
		want     []epochset.Range
	}{
		{"nothing", 0, 0, nil, []epochset.Range{}},
		{"all", 3, 9, nil, []epochset.Range{{From: 3, To: 9}}},
		{"one epoch", 3, 3, nil, []epochset.Range{{From: 3, To: 3}}},
		{"gaps within", 3, 9, []verdict.ChainRange{{From: 4, To: 4}, {From: 7, To: 8}}, []epochset.Range{{From: 3, To: 3}, {From: 5, To: 6}, {From: 9, To: 9}}},
		{"gaps at the ends", 3, 9, []verdict.ChainRange{{From: 3, To: 4}, {From: 8, To: 9}}, []epochset.Range{{From: 5, To: 7}}},
		{"gaps only", 3, 9, []verdict.ChainRange{{From: 3, To: 9}}, []epochset.Range{}},
	} {
		s := ChainStatus{From: c.from, To: c.to, Gaps: c.gaps}
		if got := s.Seen(); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
