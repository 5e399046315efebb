package schedule

import (
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/verdict"
)

// An alert is counted by the process that raises it, whoever that is, and not by those who find the
// same afterwards.
func TestAlertsAreCountedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 5, Tamper: map[uint64]simlog.Kind{3: simlog.Malformed}})
	m, series := jobstest.Measure(t)
	w.Config.Metrics = m
	a := w.Auditor(t)
	for _, epoch := range jobstest.Span(1, 5) {
		if _, err := a.Audit(t.Context(), epoch); err != nil {
			t.Fatal(err)
		}
	}
	jobstest.Judge(t, w.Config.Store, 7, verdict.Verified, "", 6, 7)
	jobstest.Judge(t, w.Config.Store, 8, verdict.Verified, "", 70, 8) // does not go on where 7 ends
	s := w.schedule()
	s.Metrics, s.SilentAfter = w.Config.Metrics, time.Hour
	for range 2 {
		f := mustFollow(t, queuetest.Miniredis(t), s)
		f.mustRound(t, time.Now())
		f.mustRound(t, time.Now().Add(2*time.Hour))
	}
	shown := series()
	for _, kind := range []string{"rejected", "contradiction", "silent"} {
		if n := shown["alerts_raised_total "+kind]; n != "1" {
			t.Errorf("raised of kind %s: %q, want 1; shown are %q", kind, n, shown)
		}
	}
}
