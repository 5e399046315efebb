// Package metrics says how an auditor is doing: to Prometheus, to whoever asks for its health, and as one trace an epoch.
//
// All metrics are fields of one struct on a registry of its own. Units are in the names, and every label takes its values
// from a fixed set: whatever is not in it counts as "other", so that no log and no fault can make the page grow. Series that
// alerts look at exist from the start, because a counter that appears with its first event shows no increase.
//
// A nil *Metrics measures nothing and costs nothing. Serving the numbers is Serve's business; which of them should wake
// somebody is said in deploy/prometheus.
package metrics

import (
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/internal/tracing"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Options say what is being measured.
type Options struct {
	// Namespaces are those of the logs this process has to do with. Nothing else becomes a value of the label.
	Namespaces []string
	// Version, Commit and GoVersion are those of the program, HashPath is how it computes BLAKE3.
	Version, Commit, GoVersion, HashPath string
	// Tracer, if not nil, gets a trace of every epoch.
	Tracer *tracing.Tracer
}

// Metrics are the metrics of a process. The methods may be called from any goroutine, and on a nil *Metrics.
type Metrics struct {
	registry *prometheus.Registry
	tracer   *tracing.Tracer
	names    set // of namespaces

	epochs       *prometheus.CounterVec
	failures     *prometheus.CounterVec
	lastRejected *prometheus.GaugeVec
	lastVerdict  *prometheus.GaugeVec
	stages       *prometheus.HistogramVec
	duration     *prometheus.HistogramVec
	downloaded   *prometheus.CounterVec
	decompressed *prometheus.CounterVec
	active       *prometheus.GaugeVec

	thresholds    *prometheus.GaugeVec
	alertsPending *prometheus.GaugeVec
	alertsRaised  *prometheus.CounterVec
	alertsSent    *prometheus.CounterVec
	alertsFailed  *prometheus.CounterVec

	archiveRemoved *prometheus.CounterVec

	logs logCollector

	mu           sync.Mutex
	dependencies []*dependency
}

// durationBuckets reach from a cache hit to the largest batch on a slow line.
var durationBuckets = []float64{
	.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300,
}

// New returns the metrics of a process. There may be several, for they share nothing.
func New(o Options) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(), tracer: o.Tracer, names: newSet(o.Namespaces...),

		epochs: counter("epochs_total", "Epochs judged by this process, by what came of them.",
			"namespace", "outcome", "reason"),
		failures: counter("epoch_failures_total", "Attempts at an epoch that ended without a verdict and will be made again, by cause.",
			"namespace", "kind"),
		lastRejected: gauge("last_rejected_timestamp_seconds", "When this process last found an epoch wrong, by reason.",
			"namespace", "reason"),
		lastVerdict: gauge("last_verdict_timestamp_seconds", "When this process last came to a verdict.", "namespace"),
		stages: histogram("epoch_stage_seconds",
			"Time an epoch spent in a stage. The stage download is the wait for bytes while there was nothing to verify.",
			"namespace", "stage"),
		duration:     histogram("epoch_seconds", "Time from taking up an epoch to its verdict on record.", "namespace"),
		downloaded:   counter("downloaded_bytes_total", "Stored bytes of the batches that were read.", "namespace"),
		decompressed: counter("decompressed_bytes_total", "Bytes of the batches that were read, after decompression.", "namespace"),
		active:       gauge("active_epochs", "Epochs this process is working on.", "namespace"),

		thresholds: gauge("threshold_seconds", "How long the configuration lets a condition last before it is an alert.",
			"namespace", "threshold"),
		alertsPending: gauge("alerts_pending", "Alerts in the outbox that not every target has taken yet.", "severity"),
		alertsRaised:  counter("alerts_raised_total", "Alerts put into the outbox by this process.", "namespace", "kind"),
		alertsSent:    counter("alerts_sent_total", "Alerts that a target has taken.", "target"),
		alertsFailed:  counter("alerts_failed_total", "Attempts to send an alert that failed.", "target"),

		archiveRemoved: counter("archive_removed_total", "Archived batches that were removed because their retention was over.",
			"namespace"),
	}
	m.logs.states = map[string]observe.LogState{}
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.epochs, m.failures, m.lastRejected, m.lastVerdict, m.stages, m.duration, m.downloaded, m.decompressed, m.active,
		m.thresholds, m.alertsPending, m.alertsRaised, m.alertsSent, m.alertsFailed, m.archiveRemoved,
		&m.logs, (*dependencyCollector)(m),
	)
	m.info("build_info", "The program.", prometheus.Labels{
		"version": o.Version, "commit": o.Commit, "go_version": o.GoVersion,
	})
	m.info("hash_path_info", "How this machine computes BLAKE3.", prometheus.Labels{"path": o.HashPath})
	m.start()
	return m
}

// start brings every series to life that an alert waits for a change of.
func (m *Metrics) start() {
	for namespace := range m.names {
		m.epochs.WithLabelValues(namespace, observe.Verified, "")
		m.epochs.WithLabelValues(namespace, observe.Contradiction, "")
		for reason := range reasons {
			m.epochs.WithLabelValues(namespace, observe.Rejected, reason)
		}
		for kind := range failureKinds {
			m.failures.WithLabelValues(namespace, kind)
		}
		m.active.WithLabelValues(namespace)
		m.downloaded.WithLabelValues(namespace)
		m.decompressed.WithLabelValues(namespace)
		m.archiveRemoved.WithLabelValues(namespace)
	}
}

// info registers a metric that is always 1 and says something in its labels.
func (m *Metrics) info(name, help string, labels prometheus.Labels) {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: prefix, Name: name, Help: help, ConstLabels: labels})
	g.Set(1)
	m.registry.MustRegister(g)
}

// WatchMemory shows how large the memory budget for batches is, and how much of it is set aside, as reserved says when asked.
// It may be called once.
func (m *Metrics) WatchMemory(budget int64, reserved func() int64) {
	if m == nil {
		return
	}
	size := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: prefix, Name: "memory_budget_bytes", Help: "Memory that batches in flight may take together.",
	})
	size.Set(float64(budget))
	m.registry.MustRegister(size, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: prefix, Name: "memory_reserved_bytes", Help: "Memory set aside for the batches in flight.",
	}, func() float64 { return float64(reserved()) }))
}

// Thresholds are how long a log's conditions may last before they are alerts. A zero one is not shown.
type Thresholds struct {
	Silent  time.Duration // nothing published
	Backlog time.Duration // age of the oldest epoch without a verdict
}

// SetThresholds shows a log's thresholds, so that the rules in deploy/prometheus need not repeat the configuration.
func (m *Metrics) SetThresholds(namespace string, t Thresholds) {
	if m == nil {
		return
	}
	for name, d := range map[string]time.Duration{"silent": t.Silent, "backlog": t.Backlog} {
		if d > 0 {
			m.thresholds.WithLabelValues(m.names.bound(namespace), name).Set(d.Seconds())
		}
	}
}

// SetLog shows how far a log and its audit are.
func (m *Metrics) SetLog(namespace string, s observe.LogState) {
	if m != nil {
		m.logs.set(m.names.bound(namespace), s)
	}
}

// AlertRaised counts an alert that was put into the outbox.
func (m *Metrics) AlertRaised(namespace, kind string) {
	if m != nil {
		m.alertsRaised.WithLabelValues(m.names.bound(namespace), alertKinds.bound(kind)).Inc()
	}
}

// ArchiveRemoved counts archived batches that were removed because their retention was over.
func (m *Metrics) ArchiveRemoved(namespace string, batches int) {
	if m != nil {
		m.archiveRemoved.WithLabelValues(m.names.bound(namespace)).Add(float64(batches))
	}
}

// AlertSent counts an attempt to send an alert to a target of some sort (alertmanager, webhook, slack). A non-nil err is
// why it failed.
func (m *Metrics) AlertSent(target string, err error) {
	switch {
	case m == nil:
	case err != nil:
		m.alertsFailed.WithLabelValues(targets.bound(target)).Inc()
	default:
		m.alertsSent.WithLabelValues(targets.bound(target)).Inc()
	}
}

// SetAlertsPending shows how many alerts wait in the outbox.
func (m *Metrics) SetAlertsPending(critical, warning int) {
	if m != nil {
		m.alertsPending.WithLabelValues("critical").Set(float64(critical))
		m.alertsPending.WithLabelValues("warning").Set(float64(warning))
	}
}

// prefix is what every name begins with.
const prefix = "ktaudit"

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: prefix, Name: name, Help: help}, labels)
}

func gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: prefix, Name: name, Help: help}, labels)
}

func histogram(name, help string, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: prefix, Name: name, Help: help, Buckets: durationBuckets,
	}, labels)
}
