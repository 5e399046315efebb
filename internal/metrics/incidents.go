package metrics

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/prometheus/client_golang/prometheus"
)

// incidentsFreshFor is how long what was read of incidents may be reused: it takes two listings of
// each log.
const incidentsFreshFor = 30 * time.Second

var incidentsDesc = desc("incidents_open", "Open incidents that nobody has acknowledged, by kind, whoever found them.",
	"namespace", "kind", "severity")

// IncidentCounts are how many incidents are open that nobody has acknowledged, by namespace and
// kind.
type IncidentCounts map[string]map[alert.Kind]int

// WatchIncidents shows what is wrong with each log. It calls read when metrics are collected, but
// at most twice a minute. It may be called once. While read fails it shows what it read last, so
// that no alert ends because the audit store does not answer; the dependency audit_store shows
// that.
func (m *Metrics) WatchIncidents(read func(context.Context) (IncidentCounts, error)) {
	if m == nil {
		return
	}
	state := newCached(read)
	state.fresh = incidentsFreshFor
	m.registry.MustRegister(&incidentCollector{names: m.names, state: state})
}

type incidentCollector struct {
	names set
	state *cached[IncidentCounts]

	mu   sync.Mutex
	last IncidentCounts // nil: nothing was read yet
}

func (c *incidentCollector) Describe(ch chan<- *prometheus.Desc) { ch <- incidentsDesc }

func (c *incidentCollector) Collect(ch chan<- prometheus.Metric) {
	counts, err := c.state.get(context.Background())
	c.mu.Lock()
	if err == nil {
		c.last = counts
	}
	counts = c.last
	c.mu.Unlock()
	if counts == nil {
		return
	}
	kinds := slices.DeleteFunc(alert.Kinds(), isTest)
	for namespace := range c.names {
		unknown := 0
		for kind, n := range counts[namespace] {
			if !slices.Contains(kinds, kind) {
				unknown += n
			}
		}
		for _, kind := range kinds {
			ch <- number(incidentsDesc, float64(counts[namespace][kind]), namespace, string(kind), string(kind.Severity()))
		}
		// Of a kind that only a later version knows, nobody can say that it is no more than a
		// warning.
		ch <- number(incidentsDesc, float64(unknown), namespace, other, string(alert.Critical))
	}
}
