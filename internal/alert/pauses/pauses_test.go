package pauses

import (
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	t.Parallel()
	p := pause{time.UnixMilli(1_800_000_000_000), 2}
	if cause, got, ok := parse(p.name("1-rejected.digest_mismatch")); !ok || got != p || cause != "1-rejected.digest_mismatch" {
		t.Errorf("%s %v %v", cause, got, ok)
	}
	for _, name := range []string{"", "x", "1-2", "1-2-", "-1--1-x", "1-x-y", "99999999999999999999-0-x", "1--1-x"} {
		if _, p, ok := parse(name); ok {
			t.Errorf("%q is %v", name, p)
		}
	}
}

// A clock that was set back since a pause began does not make it longer.
func TestClockThatWasSetBack(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := &Pauses{lengths: Default, known: map[string]pause{"cause": {until: now.Add(time.Minute)}}}
	for _, c := range []struct {
		at   time.Time
		want bool
	}{{now, true}, {now.Add(2 * time.Minute), false}, {now.Add(-24 * time.Hour), false}} {
		if got := s.IsPaused("cause", c.at); got != c.want {
			t.Errorf("%s from when it began: paused %v, want %v", c.at.Sub(now), got, c.want)
		}
	}
}
