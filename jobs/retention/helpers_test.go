package retention

import (
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/rs/zerolog"
)

const day = 24 * time.Hour

// retention of a month, which does not wait for the clock.
func retentionOf(s *jobstest.ArchiveStore, log zerolog.Logger) *Remover {
	r := New(Config{Namespace: jobstest.Namespace, Store: s.Store, First: 1, Keep: 30 * day, Log: log})
	r.ClockGrace = 0
	return r
}

func mustPass(t testing.TB, r *Remover) {
	t.Helper()
	if more, err := r.pass(t.Context()); err != nil || more {
		t.Errorf("pass: %v, more is left: %v", err, more)
	}
}
