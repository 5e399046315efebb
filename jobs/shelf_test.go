package jobs

import (
	"testing"
	"time"

	"github.com/rs/zerolog"
)

const day = 24 * time.Hour

// retention of a month, which does not wait for the clock.
func retentionOf(s *shelf, log zerolog.Logger) *retention {
	r := newRetention(RetentionConfig{Namespace: testNamespace, Store: s.store, First: 1, Keep: 30 * day, Log: log})
	r.settle = 0
	return r
}

func mustPass(t testing.TB, r *retention) {
	t.Helper()
	if more, err := r.pass(t.Context()); err != nil || more {
		t.Errorf("pass: %v, more is left: %v", err, more)
	}
}
