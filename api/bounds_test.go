package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
	"github.com/rs/zerolog"
)

// A status is of a bounded size whatever a log does, says when it lists not all, and counts all.
func TestStatusIsBounded(t *testing.T) {
	t.Parallel()
	const many = 3 * maxShown
	s := statusObject{Seen: make([]epochset.Range, many), Status: report.Status{
		RejectedCount: many, Verified: make([]epochset.Range, many), Gaps: make([]epochset.Range, many), Rejected: make([]report.RejectedEpoch, many),
		Breaks: make([]report.Break, many), Overruled: make([]report.OverruledEpoch, many), Stretches: make([]report.Stretch, many),
		Rollbacks: make([]report.Rollback, maxShown), Incidents: make([]incident.Open, many),
		Chain: &report.ChainStatus{
			Chained: make([]verdict.ChainRange, many), Gaps: make([]verdict.ChainRange, many), Doubles: make([]verdict.ChainRange, many), Breaks: make([]uint64, many),
		},
	}}
	for i := range s.Rejected {
		s.Rejected[i].Detail = strings.Repeat("x", verdict.MaxDetailBytes)
	}
	s.shorten()
	data, err := encode(s)
	if err != nil || len(data) > 3<<20 || !s.Truncated || !s.MoreIncidents || s.RejectedCount != many || len(s.Gaps) != maxShown || len(s.Seen) != maxShown {
		t.Errorf("%d bytes, %v: %.300s", len(data), err, data)
	}
	small := statusObject{Status: report.Status{Gaps: make([]epochset.Range, maxShown)}}
	if small.shorten(); small.Truncated || small.MoreIncidents {
		t.Error("nothing is left out")
	}
}

// However many faults there are, the log has a few lines, and how many others there were.
func TestFaultLogIsBounded(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	f := newFaultLog(zerolog.New(&log), "it broke")
	for range 10_000 {
		f.note(httptest.NewRequest("GET", "/x", nil), errors.New("a fault"))
	}
	f.limiter.SetBurst(20_000)
	f.limiter.SetLimit(1e9)
	f.note(httptest.NewRequest("GET", "/x", nil), errors.New("the last"))
	// A second that passes meanwhile lets another line through, with the others up to then.
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	said := len(lines)
	for _, line := range lines {
		var l struct{ Others int }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		said += l.Others
	}
	if last := lines[len(lines)-1]; len(lines) > 100 || !strings.Contains(last, "the last") || said != 10_001 {
		t.Errorf("%d lines about %d faults, the last one %s", len(lines), said, last)
	}
}
