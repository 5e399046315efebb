package jobs

import (
	"testing"
	"time"
)

// A log directory that is the wrong one, or a first epoch that is, must not go unnoticed.
func TestSilenceFromTheStart(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	r := embedded(t)
	s := w.schedule()
	s.First, s.SilentAfter = 100, time.Hour
	series := w.measured(t)
	s.Metrics = w.config.Metrics
	now := time.Now()
	f := mustFollow(t, r, s)
	f.mustRound(t, now)
	f.mustRound(t, now.Add(59*time.Minute))
	wantNotices(t, w.config.Store)
	for range 2 {
		f.mustRound(t, now.Add(61*time.Minute))
	}
	wantNotices(t, w.config.Store, "2-silent.000000000099")
	shown := series()
	if shown["newest_published_timestamp_seconds"] == "" || shown["newest_published_epoch"] != "" {
		t.Errorf("metrics show %q: want since when there is nothing, and no newest epoch", shown)
	}

	// It ends when the first epoch is set right, too.
	publishNames(t, w.log, span(1, 3)...)
	s.First = 1
	mustFollow(t, r, s).mustRound(t, now.Add(2*time.Minute))
	wantNotices(t, w.config.Store, "2-silent.000000000099", "3-silent.000000000099")
}

func TestSilenceFromTheStartEndsWithTheFirstEpoch(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	s := w.schedule()
	s.SilentAfter = time.Hour
	now := time.Now()
	f := mustFollow(t, embedded(t), s)
	f.mustRound(t, now)
	for range 2 {
		f.mustRound(t, now.Add(61*time.Minute))
	}
	wantNotices(t, w.config.Store, "2-silent.000000000000")
	publishNames(t, w.log, 1)
	f.mustRound(t, now.Add(time.Minute))
	wantNotices(t, w.config.Store, "2-silent.000000000000", "3-silent.000000000000")
}
