package schedule

import (
	"slices"
	"testing"

	"github.com/ktaudit/ktaudit/internal/jobstest"
)

// A long list does not keep the others waiting.
func TestInTurn(t *testing.T) {
	t.Parallel()
	var got []uint64
	lists := [][]uint64{jobstest.Span(1, 250), jobstest.Span(1001, 1050), nil, jobstest.Span(2001, 2101)}
	if err := inTurn(lists, func(epoch uint64) error { got = append(got, epoch); return nil }); err != nil {
		t.Fatal(err)
	}
	want := slices.Concat(jobstest.Span(1, 100), jobstest.Span(1001, 1050), jobstest.Span(2001, 2100), jobstest.Span(101, 200), jobstest.Span(2101, 2101), jobstest.Span(201, 250))
	if !slices.Equal(got, want) {
		t.Errorf("order is %d", got)
	}
}
