package queue_test

import (
	"testing"

	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/internal/testservers"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) queuetest.Queue{
		"miniredis":    func(t *testing.T) queuetest.Queue { return queuetest.Miniredis(t) },
		"redis-server": func(t *testing.T) queuetest.Queue { return queuetest.Connect(t, testservers.Redis(t).URL()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			queuetest.Conformance(t, open)
		})
	}
}
