package chain

import (
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// The first round walks all names, the next ones only what is new, and all of them again once the
// last walk is long ago.
func TestNamesAreWalkedAsTheyCome(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5)
	newest := uint64(0)
	l := Loop{
		Walker: w.walker(t), First: 1, Newest: func() uint64 { return newest }, Whole: 24 * time.Hour, Log: zerolog.Nop(),
	}
	round := func(now time.Time, generation uint64) time.Time {
		t.Helper()
		must(t, l.round(t.Context(), now))
		on, err := w.config.Store.Chain(t.Context(), namespace)
		must(t, err)
		if on.Generation != generation {
			t.Errorf("generation %d is on record, want %d", on.Generation, generation)
		}
		return on.WalkedAt
	}
	now := time.Now()
	round(now, 0) // how far the log has come is not known
	newest = 5
	first := round(now, 1)
	w.names.Last, newest = 6, 6
	if walked := round(now.Add(time.Hour), 1); !walked.Equal(first) {
		t.Error("all names were walked again")
	}
	if walked := round(now.Add(25*time.Hour), 2); walked.Equal(first) {
		t.Error("not all names were walked again")
	}
	on, err := w.config.Store.Chain(t.Context(), namespace)
	must(t, err)
	if c := on.Coverage(1, 0); !c.Whole() || c.To != 6 {
		t.Errorf("%+v", c)
	}
}
