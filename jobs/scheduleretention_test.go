package jobs

import (
	"slices"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/rs/zerolog"
)

// Schedulers do it by themselves.
func TestSchedulersRemoveArchivedBatches(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 6, Tamper: map[uint64]simlog.Kind{3: simlog.Malformed}})
	w.config.Archive = true
	a := w.auditor(t)
	for epoch := uint64(1); epoch <= 6; epoch++ {
		if _, err := a.Audit(t.Context(), epoch); err != nil {
			t.Fatal(err)
		}
	}
	redis := embedded(t)
	schedule := w.schedule()
	schedule.Retention = time.Millisecond
	for range 2 {
		scheduler, err := NewScheduler(redis, []Schedule{schedule}, zerolog.Nop())
		must(t, err)
		r := scheduler.logs[0].retention
		r.settle, r.pause = 0, 10*time.Millisecond
		background(t, scheduler.Run)
	}
	s := &shelf{w.audit, w.config.Store}
	eventually(t, "only what must stay is left", func() bool {
		return slices.Equal(s.archived(t), []string{"2", "3", "4", "6"})
	})
}
