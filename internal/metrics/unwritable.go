package metrics

import (
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var unwritableDesc = desc("audit_store_unwritable_seconds",
	"How long the audit store has taken no write, as schedulers and run find it; 0 while it does.", "namespace")

// SetStoreUnwritable shows since when the audit store of a log cannot be written. The zero time
// says that it can.
func (m *Metrics) SetStoreUnwritable(namespace string, since time.Time) {
	if m == nil {
		return
	}
	m.unwritable.mu.Lock()
	defer m.unwritable.mu.Unlock()
	m.unwritable.since[m.names.bound(namespace)] = since
}

// unwritableCollector computes the time when it is collected, so that it grows even while the
// store does not answer.
type unwritableCollector struct {
	mu    sync.Mutex
	since map[string]time.Time // by namespace
}

func (c *unwritableCollector) Describe(ch chan<- *prometheus.Desc) { ch <- unwritableDesc }

func (c *unwritableCollector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	all := maps.Clone(c.since)
	c.mu.Unlock()
	for namespace, since := range all {
		d := 0.0
		if !since.IsZero() {
			d = max(0, time.Since(since).Seconds())
		}
		ch <- number(unwritableDesc, d, namespace)
	}
}
