package main

import (
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

func TestStrip(t *testing.T) {
	t.Parallel()
	plain := symbols{'#', '-', '.', 'X'}
	gaps := []epochset.Range{{From: 13, To: 14}}
	verified := func(bounds ...uint64) (all []epochset.Range) {
		for i := 0; i < len(bounds); i += 2 {
			all = append(all, epochset.Range{From: bounds[i], To: bounds[i+1]})
		}
		return all
	}
	mostly := verified(11, 12, 15, 16, 18, 20)
	for _, c := range []struct {
		name      string
		status    report.Status
		published uint64
		columns   int
		want      string
	}{
		{"one epoch", report.Status{From: 7, To: 7, Verified: verified(7, 7)}, 7, 80, "#"},
		{"a column each", report.Status{From: 11, To: 20, Gaps: gaps, Verified: mostly}, 22, 80, "##..##X###--"},
		{"several share one, and the worst is shown", report.Status{From: 11, To: 20, Gaps: gaps, Verified: mostly}, 22, 6, "#.#X#-"},
		{"broken", report.Status{From: 1, To: 4, Verified: verified(1, 2, 3, 4), Breaks: []report.Break{{Epoch: 3}}}, 4, 4, "##X#"},
		{"gone back", report.Status{From: 1, To: 4, Verified: verified(1, 3, 4, 4), Rollbacks: []report.Rollback{{Epoch: 4, To: 2}}}, 4, 4, "###X"},
		{"an island behind a rejected epoch", report.Status{
			From: 1, To: 5, Verified: verified(1, 2, 4, 5),
			Stretches: []report.Stretch{{From: 1, To: 2}, {From: 4, To: 5, Link: report.StretchRejected, Island: true}},
		}, 5, 5, "##XX#"},
		{"what a gap may explain", report.Status{
			From: 1, To: 5, Verified: verified(1, 2, 4, 5), Gaps: []epochset.Range{{From: 3, To: 3}},
			Stretches: []report.Stretch{{From: 1, To: 2}, {From: 4, To: 5, Link: report.StretchGap, Island: true}},
		}, 5, 5, "##.##"},
		{"two million in a line", report.Status{From: 1, To: 2_000_000, Verified: verified(1, 1_999_999)}, 2_000_000, 5, "####X"},
		{"more rejected than are listed", report.Status{From: 1, To: 4, Verified: verified(2, 3)}, 4, 4, "X##X"},
		{"a narrow screen", report.Status{From: 1, To: 9, Verified: verified(1, 9)}, 9, 1, "#"},
	} {
		if got := strip(c.status, c.published, c.columns, plain); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// A frame never has more lines or columns than the screen, which would scroll or wrap.
func TestFit(t *testing.T) {
	t.Parallel()
	got := fit(strings.Repeat("a long line\n", 10), 6, 4)
	lines := strings.Split(strings.TrimSuffix(got, "\r\n"), "\r\n")
	if len(lines) > 3 || strings.TrimSuffix(lines[0], clearTheLine) != "a long" {
		t.Errorf("%q", got)
	}
}
