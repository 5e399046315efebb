package metrics

import (
	"context"
	"errors"
	"testing"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/prometheus/client_golang/prometheus"
)

// An alert must not end because the audit store does not answer: what was read last stays.
func TestIncidentsStayWhileTheStoreDoesNotAnswer(t *testing.T) {
	t.Parallel()
	answers := []error{nil, errors.New("down"), errors.New("down")}
	state := newCached(func(context.Context) (IncidentCounts, error) {
		err := answers[0]
		answers = answers[1:]
		return IncidentCounts{"a": {alert.Rejected: 1}}, err
	})
	state.fresh = 0
	c := &incidentCollector{names: newSet("a"), state: state}
	for range 3 {
		all := make(chan prometheus.Metric, 100)
		c.Collect(all)
		if len(all) != len(alert.Kinds()) {
			t.Errorf("%d series, want %d", len(all), len(alert.Kinds()))
		}
	}
}
