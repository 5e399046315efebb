package metrics

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/prometheus/client_golang/prometheus"
)

var (
	stalledDesc    = desc("stalled_epochs", "Epochs in flight that come no further, as when the log gives next to nothing.", "namespace")
	stalledForDesc = desc("stalled_seconds", "How long the longest stalled epoch has come no further; 0 if there is none.", "namespace")
)

// noteworthyStall is from when /readyz names a log whose epochs come no further.
const noteworthyStall = 10 * time.Second

// WatchStalled shows for each log which epochs in flight come no further. It may be called once.
func (m *Metrics) WatchStalled(read func() map[string]observe.Stall) {
	if m == nil {
		return
	}
	m.mu.Lock()
	m.stalled = read
	m.mu.Unlock()
	m.registry.MustRegister(stalledCollector{m.names, read})
}

type stalledCollector struct {
	names set
	read  func() map[string]observe.Stall
}

func (c stalledCollector) Describe(ch chan<- *prometheus.Desc) { send(ch, stalledDesc, stalledForDesc) }

func (c stalledCollector) Collect(ch chan<- prometheus.Metric) {
	for namespace, stall := range c.read() {
		namespace = c.names.bound(namespace)
		ch <- number(stalledDesc, float64(stall.Epochs), namespace)
		ch <- number(stalledForDesc, stall.For.Seconds(), namespace)
	}
}

// stalls are lines for /readyz. A log that gives nothing does not make a process unready, since its
// other logs go on, but it is not passed over in silence.
func (m *Metrics) stalls() string {
	m.mu.Lock()
	read := m.stalled
	m.mu.Unlock()
	if read == nil {
		return ""
	}
	lines, stalls := "", read()
	for _, namespace := range slices.Sorted(maps.Keys(stalls)) {
		if stall := stalls[namespace]; stall.For >= noteworthyStall {
			lines += fmt.Sprintf("log %s: %d epochs come no further, for %s; other logs go on\n", namespace, stall.Epochs, stall.For.Round(time.Second))
		}
	}
	return lines
}
