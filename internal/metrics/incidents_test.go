package metrics_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/metrics"
)

// Every kind of every log has a series from the first scrape on, and a kind that is not known counts
// as another, critical one. A log of others does not count.
func TestIncidentsOpen(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Options{Namespaces: []string{"a", "b"}})
	m.WatchIncidents(func(context.Context) (metrics.IncidentCounts, error) {
		return metrics.IncidentCounts{"a": {alert.Rejected: 2, "of_a_later_version": 3}, "c": {alert.Rejected: 7}}, nil
	})
	text := page(t, m)
	for _, line := range []string{
		`ktaudit_incidents_open{kind="rejected",namespace="a",severity="critical"} 2`, `ktaudit_incidents_open{kind="other",namespace="a",severity="critical"} 3`,
		`ktaudit_incidents_open{kind="rejected",namespace="b",severity="critical"} 0`, `ktaudit_incidents_open{kind="silent",namespace="b",severity="warning"} 0`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no %s in\n%s", line, text)
		}
	}
	if n, want := strings.Count(text, "\nktaudit_incidents_open{"), 2*len(alert.Kinds()); n != want { // without test, with other
		t.Errorf("%d series, want %d", n, want)
	}
}

// A store that never answered shows nothing, for 0 would be a claim.
func TestIncidentsThatCannotBeReadAreNotZero(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Options{Namespaces: []string{"a"}})
	m.WatchIncidents(func(context.Context) (metrics.IncidentCounts, error) { return nil, errors.New("down") })
	if text := page(t, m); strings.Contains(text, "ktaudit_incidents_open{") {
		t.Errorf("there is a count in\n%s", text)
	}
}
