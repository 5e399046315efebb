package schedule

import (
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/jobs/chain"
	"github.com/rs/zerolog"
)

// The first round walks all names, the next ones only what is new, and all of them again once the
// last walk is long ago.
func TestNamesAreWalkedAsTheyCome(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	jobstest.PublishNames(t, w.Log, jobstest.Span(1, 5)...)
	s := w.schedule()
	walker, err := chain.New(chain.Config{
		Namespace: s.Namespace, Log: w.Log, Parallel: 1, Store: s.Store, First: 1, MaxRequests: 100, Looks: 1, Logger: zerolog.Nop(),
	})
	jobstest.Must(t, err)
	s.Names, s.ChainEvery = walker, 24*time.Hour
	l, err := newScheduledLog(queuetest.Embedded(t), s, zerolog.Nop())
	jobstest.Must(t, err)
	round := func(now time.Time, generation uint64) time.Time {
		t.Helper()
		jobstest.Must(t, l.names.round(t.Context(), now))
		on, err := s.Store.Chain(t.Context(), s.Namespace)
		jobstest.Must(t, err)
		if on.Generation != generation {
			t.Errorf("generation %d is on record, want %d", on.Generation, generation)
		}
		return on.WalkedAt
	}
	now := time.Now()
	round(now, 0) // how far the log has come is not known
	l.progress.setPublished(5)
	first := round(now, 1)
	jobstest.PublishNames(t, w.Log, 6)
	l.progress.setPublished(6)
	if walked := round(now.Add(time.Hour), 1); !walked.Equal(first) {
		t.Error("all names were walked again")
	}
	if walked := round(now.Add(25*time.Hour), 2); walked.Equal(first) {
		t.Error("not all names were walked again")
	}
	on, err := s.Store.Chain(t.Context(), s.Namespace)
	jobstest.Must(t, err)
	if c := on.Coverage(1, 0); !c.Whole() || c.To != 6 {
		t.Errorf("%+v", c)
	}
}
