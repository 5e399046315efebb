package schedule

import (
	"slices"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/rs/zerolog"
)

// Schedulers do it by themselves.
func TestSchedulersRemoveArchivedBatches(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 6, Tamper: map[uint64]simlog.Kind{3: simlog.Malformed}})
	w.Config.Archive = true
	a := w.Auditor(t)
	for epoch := uint64(1); epoch <= 6; epoch++ {
		if _, err := a.Audit(t.Context(), epoch); err != nil {
			t.Fatal(err)
		}
	}
	redis := queuetest.Miniredis(t)
	schedule := w.schedule()
	schedule.Retention = time.Millisecond
	for range 2 {
		scheduler, err := New(redis, []Config{schedule}, zerolog.Nop())
		jobstest.Must(t, err)
		r := scheduler.logs[0].retention
		r.ClockGrace, r.Pause = 0, 10*time.Millisecond
		jobstest.Background(t, scheduler.Run)
	}
	s := &jobstest.ArchiveStore{Bucket: w.Audit, Store: w.Config.Store}
	jobstest.Eventually(t, "only what must stay is left", func() bool {
		return slices.Equal(s.Archived(t), []string{"2", "3", "4", "6"})
	})
}
