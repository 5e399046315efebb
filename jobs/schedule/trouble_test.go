package schedule

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/internal/units"
)

// TestTrouble: a round that has not failed may end with trouble all the same.
func TestTrouble(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		maxLag     units.Lag
		judged     []uint64
		history    error
		historyAge time.Duration
		after      time.Duration // since the log published
		want       string        // empty: no trouble
	}{
		{name: "all judged", maxLag: units.Lag{Age: 15 * time.Minute}, judged: jobstest.Span(1, 4), after: time.Hour},
		{name: "just published", maxLag: units.Lag{Age: 15 * time.Minute}, judged: jobstest.Span(1, 2), after: 14 * time.Minute},
		{name: "too long", maxLag: units.Lag{Age: 15 * time.Minute}, judged: jobstest.Span(1, 2), after: 16 * time.Minute, want: "2 epochs have no verdict"},
		{name: "as many as may be", maxLag: units.Lag{Epochs: 2}, judged: jobstest.Span(1, 2), after: time.Hour},
		{name: "too many", maxLag: units.Lag{Epochs: 2}, judged: jobstest.Span(1, 1), after: time.Minute, want: "3 epochs have no verdict"},
		{name: "may lag for ever", judged: jobstest.Span(1, 1), after: time.Hour},
		{name: "history fails", judged: jobstest.Span(1, 4), history: errors.New("connection refused"), want: "connection refused"},
		{name: "history hangs", judged: jobstest.Span(1, 4), historyAge: time.Hour, want: "history was not looked at since"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := emptyWorld(t)
			jobstest.PublishNames(t, w.Log, jobstest.Span(1, 4)...)
			now := time.Now().Add(c.after)
			jobstest.Verify(t, w.Config.Store, c.judged...)
			s := w.schedule()
			s.MaxLag, s.MaxLagEpochs = c.maxLag.Age, c.maxLag.Epochs
			r := queuetest.Miniredis(t)
			for range 2 { // a restart does not begin to count anew
				f := mustFollow(t, r, s)
				f.progress.setHistoryResult(c.history, now.Add(-c.historyAge))
				f.mustRound(t, now)
				err := f.trouble(now)
				if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("%v, want %q", err, c.want)
				}
			}
		})
	}
}

// TestOnRound: each round says what it came to, and before history was looked at that is no good
// news.
func TestOnRound(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	jobstest.PublishNames(t, w.Log, jobstest.Span(1, 4)...)
	jobstest.Verify(t, w.Config.Store, jobstest.Span(1, 4)...)
	s := w.schedule()
	s.Poll = time.Millisecond
	rounds := make(chan error)
	s.OnRound = func(err error) {
		select {
		case rounds <- err:
		case <-t.Context().Done():
		}
	}
	l := mustHave(t, queuetest.Miniredis(t), s)
	l.progress.history.Store(nil)
	go l.follower.run(t.Context())
	if err := <-rounds; err == nil || !strings.Contains(err.Error(), "history was not looked at yet") {
		t.Errorf("before history was looked at: %v", err)
	}
	l.progress.setHistoryResult(nil, time.Now())
	<-rounds // may have begun before
	if err := <-rounds; err != nil {
		t.Errorf("all is well: %v", err)
	}
}
