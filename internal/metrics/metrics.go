// Package metrics measures an auditor: for Prometheus, for health checks, and as one trace per
// epoch.
//
// All metrics are fields of one struct with its own registry. Names contain units. Every label
// takes its values from a fixed set, and other values count as "other", so that no log and no fault
// can make the page grow. Series that alerts use exist from the start, because a counter that
// appears with its first event shows no increase.
//
// A nil *Metrics measures nothing and costs nothing. Which metrics raise alerts is left to
// deploy/prometheus.
package metrics

import (
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/internal/tracing"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Options describe the process that is measured.
type Options struct {
	// Namespaces are the logs of this process. The label namespace takes no other value but
	// "other".
	Namespaces []string
	// Auditors are those that are compared with each log, by its name. The label auditor takes no
	// other value but "other".
	Auditors map[string][]string
	// Witnesses are those that are asked to cosign. The label witness takes no other value but
	// "other".
	Witnesses []string
	// Version, Commit and GoVersion are those of the program, HashPath is how it computes BLAKE3.
	Version, Commit, GoVersion, HashPath string
	// Tracer, if not nil, gets a trace of every epoch.
	Tracer *tracing.Tracer
}

// Metrics are the metrics of a process. The methods may be called from any goroutine, and on a nil
// *Metrics.
type Metrics struct {
	registry *prometheus.Registry
	tracer   *tracing.Tracer
	names    set // of namespaces
	auditors set

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
	heartbeats    *prometheus.CounterVec

	archiveRemoved *prometheus.CounterVec
	canary         *prometheus.CounterVec
	rechecked      *prometheus.CounterVec

	crossChecked      *prometheus.CounterVec
	crossCheckedEpoch *prometheus.GaugeVec

	witnesses        set
	witnessAnswers   *prometheus.CounterVec
	loggedEntries    *prometheus.GaugeVec
	witnessedEntries *prometheus.GaugeVec
	verdictsAppended *prometheus.GaugeVec

	logs logCollector
	// unwritable is since when the audit store of a log cannot be written.
	unwritable unwritableCollector

	chained     *prometheus.GaugeVec
	chainFaults *prometheus.GaugeVec
	chainWalked *prometheus.GaugeVec

	mu           sync.Mutex
	dependencies []*dependency
	stalled      func() map[string]observe.Stall // nil: nothing is worked on
}

// durationBuckets reach from a cache hit to the largest batch on a slow line.
var durationBuckets = []float64{
	.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300,
}

// New returns the metrics of a process. Several may exist, since they share nothing.
func New(o Options) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(), tracer: o.Tracer, names: newSet(o.Namespaces...),

		epochs: counter("epochs_total", "Epochs judged by this process, by outcome and reason.",
			"namespace", "outcome", "reason"),
		failures: counter("epoch_failures_total", "Attempts at an epoch that ended without a verdict and will be retried, by cause.",
			"namespace", "kind"),
		lastRejected: gauge("last_rejected_timestamp_seconds", "When this process last rejected or contradicted an epoch, by reason.",
			"namespace", "reason"),
		lastVerdict: gauge("last_verdict_timestamp_seconds", "When this process last reached a verdict.", "namespace"),
		stages: histogram("epoch_stage_seconds",
			"Time that an epoch spent in a stage. Stage download counts only the time that verification waited for bytes.",
			"namespace", "stage"),
		duration:     histogram("epoch_seconds", "Time from the start of an epoch to its recorded verdict.", "namespace"),
		downloaded:   counter("downloaded_bytes_total", "Bytes read from batches, as stored.", "namespace"),
		decompressed: counter("decompressed_bytes_total", "Bytes read from batches, after decompression.", "namespace"),
		active:       gauge("active_epochs", "Epochs that this process is auditing.", "namespace"),

		thresholds: gauge("threshold_seconds", "How long a condition may last before it raises an alert, as configured.",
			"namespace", "threshold"),
		alertsPending: gauge("alerts_pending", "Alerts that not every target has accepted yet.", "severity"),
		alertsRaised:  counter("alerts_raised_total", "Alerts raised by this process.", "namespace", "kind"),
		alertsSent:    counter("alerts_sent_total", "Alerts that a target has accepted.", "target"),
		alertsFailed:  counter("alerts_failed_total", "Failed attempts to send an alert.", "target"),
		heartbeats:    counter("heartbeats_total", "Pings of the heartbeat's address by this process, by what became of them: sent or failed. There is none while not all is well.", "result"),

		canary: counter("canary_total", "Tests of the judge with a damaged proof, by what became of it: rejected, as it must be, or verified.",
			"namespace", "result"),
		rechecked: counter("rechecked_epochs_total", "Epochs with a verdict that were looked at again, by what the log lists of them: same, changed (written anew, "+
			"and audited again), equivocation, gone, or unknown.", "namespace", "result"),
		archiveRemoved: counter("archive_removed_total", "Archived batches removed because their retention had ended.",
			"namespace"),
	}
	m.auditors = set{}
	m.crossChecked = counter("crosscheck_epochs_total", "Epochs for which an auditor was asked, by what its signed digest came to: same as the log's, split_view (another), "+
		"contradiction (of the auditor), rejected (here), unknown_key, absent or failed.", "namespace", "auditor", "result")
	m.crossCheckedEpoch = gauge("crosscheck_epoch", "Newest epoch that an auditor is known to have signed, of those with a verdict here.", "namespace", "auditor")
	m.startVerdictLog(o)
	m.chained = gauge("chained_epochs", "Epochs whose names continue each other, one batch each.", "namespace")
	m.chainFaults = gauge("chain_faults", "Epochs where the chain of names is not whole, by kind: gap, double or break.", "namespace", "kind")
	m.chainWalked = gauge("chain_walked_timestamp_seconds", "When the last walk of all names began.", "namespace")
	m.logs.states, m.unwritable.since = map[string]observe.LogState{}, map[string]time.Time{}
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.epochs, m.failures, m.lastRejected, m.lastVerdict, m.stages, m.duration, m.downloaded, m.decompressed, m.active,
		m.thresholds, m.alertsPending, m.alertsRaised, m.alertsSent, m.alertsFailed, m.heartbeats, m.archiveRemoved, m.canary, m.rechecked,
		m.crossChecked, m.crossCheckedEpoch, m.witnessAnswers, m.loggedEntries, m.witnessedEntries, m.verdictsAppended, m.chained, m.chainFaults, m.chainWalked, &m.logs, &m.unwritable, (*dependencyCollector)(m),
	)
	m.info("build_info", "Version of this program.", prometheus.Labels{
		"version": o.Version, "commit": o.Commit, "go_version": o.GoVersion,
	})
	m.info("hash_path_info", "How this process computes BLAKE3.", prometheus.Labels{"path": o.HashPath})
	m.start(o.Auditors)
	return m
}

// start creates every series that an alert watches for changes.
func (m *Metrics) start(auditors map[string][]string) {
	for namespace, some := range auditors {
		for _, auditor := range some {
			m.auditors[auditor] = true
			for result := range crossCheckResults {
				m.crossChecked.WithLabelValues(m.names.bound(namespace), auditor, result)
			}
		}
	}
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
		m.canary.WithLabelValues(namespace, observe.Rejected)
		m.canary.WithLabelValues(namespace, observe.Verified)
		for result := range recheckResults {
			m.rechecked.WithLabelValues(namespace, result)
		}
	}
}

// info registers a metric that is always 1 and carries information in its labels.
func (m *Metrics) info(name, help string, labels prometheus.Labels) {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: prefix, Name: name, Help: help, ConstLabels: labels})
	g.Set(1)
	m.registry.MustRegister(g)
}

// WatchMemory shows the memory budget for batches, and how much of it is reserved. It may be called
// once.
func (m *Metrics) WatchMemory(budget int64, reserved func() int64) {
	if m == nil {
		return
	}
	size := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: prefix, Name: "memory_budget_bytes", Help: "Memory budget of all batches in flight.",
	})
	size.Set(float64(budget))
	m.registry.MustRegister(size, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: prefix, Name: "memory_reserved_bytes", Help: "Memory reserved for batches in flight.",
	}, func() float64 { return float64(reserved()) }))
}

// WatchLostLogLines shows how many log lines could not be written. It may be called once.
func (m *Metrics) WatchLostLogLines(lost func() uint64) {
	if m == nil {
		return
	}
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Namespace: prefix, Name: "log_lines_lost_total", Help: "Log lines that could not be written, as to a journal that is gone or a full disk.",
	}, func() float64 { return float64(lost()) }))
}

// Thresholds are how long conditions of a log may last before they raise alerts. Zero is not shown.
type Thresholds struct {
	Silent  time.Duration // nothing published
	Backlog time.Duration // age of the oldest epoch without a verdict
	Chain   time.Duration // from one walk of all names to the next
	// StoreUnwritable is how long the audit store may refuse every write.
	StoreUnwritable time.Duration
}

// SetThresholds shows the thresholds of a log, so that the rules in deploy/prometheus can use them.
func (m *Metrics) SetThresholds(namespace string, t Thresholds) {
	if m == nil {
		return
	}
	for name, d := range map[string]time.Duration{
		"silent": t.Silent, "backlog": t.Backlog, "chain": t.Chain, "store_unwritable": t.StoreUnwritable,
	} {
		if d > 0 {
			m.thresholds.WithLabelValues(m.names.bound(namespace), name).Set(d.Seconds())
		}
	}
}

// SetLog shows how far a log and its audit have come.
func (m *Metrics) SetLog(namespace string, s observe.LogState) {
	if m != nil {
		m.logs.set(m.names.bound(namespace), s)
	}
}

// SetChain shows what the last walk of a log's names found.
func (m *Metrics) SetChain(namespace string, s observe.ChainState) {
	if m == nil {
		return
	}
	namespace = m.names.bound(namespace)
	m.chained.WithLabelValues(namespace).Set(float64(s.Chained))
	m.chainWalked.WithLabelValues(namespace).Set(seconds(s.WalkedAt))
	for kind, n := range map[string]uint64{"gap": s.Gaps, "double": s.Doubles, "break": s.Breaks} {
		m.chainFaults.WithLabelValues(namespace, kind).Set(float64(n))
	}
}

// AlertRaised counts an alert that was put into the outbox.
func (m *Metrics) AlertRaised(namespace, kind string) {
	if m != nil {
		m.alertsRaised.WithLabelValues(m.names.bound(namespace), alertKinds.bound(kind)).Inc()
	}
}

// CanaryTested counts a test of the judge, and whether it verified a damaged proof.
func (m *Metrics) CanaryTested(namespace string, verified bool) {
	if m == nil {
		return
	}
	result := observe.Rejected
	if verified {
		result = observe.Verified
	}
	m.canary.WithLabelValues(m.names.bound(namespace), result).Inc()
}

// Rechecked counts epochs that were looked at again, by what that came to.
func (m *Metrics) Rechecked(namespace, result string, epochs int) {
	if m != nil {
		m.rechecked.WithLabelValues(m.names.bound(namespace), recheckResults.bound(result)).Add(float64(epochs))
	}
}

// CrossChecked counts what comparing an auditor's signed digests came to.
func (m *Metrics) CrossChecked(namespace, auditor, result string, epochs int) {
	if m != nil {
		m.crossChecked.WithLabelValues(m.names.bound(namespace), m.auditors.bound(auditor), crossCheckResults.bound(result)).Add(float64(epochs))
	}
}

// SetCrossChecked shows the newest epoch that an auditor is known to have signed.
func (m *Metrics) SetCrossChecked(namespace, auditor string, epoch uint64) {
	if m != nil {
		m.crossCheckedEpoch.WithLabelValues(m.names.bound(namespace), m.auditors.bound(auditor)).Set(float64(epoch))
	}
}

// ArchiveRemoved counts archived batches removed because their retention had ended.
func (m *Metrics) ArchiveRemoved(namespace string, batches int) {
	if m != nil {
		m.archiveRemoved.WithLabelValues(m.names.bound(namespace)).Add(float64(batches))
	}
}

// AlertSent counts an attempt to send an alert to a target of a kind (alertmanager, webhook,
// slack). It failed if err is not nil.
func (m *Metrics) AlertSent(target string, err error) {
	switch {
	case m == nil:
	case err != nil:
		m.alertsFailed.WithLabelValues(targetKinds.bound(target)).Inc()
	default:
		m.alertsSent.WithLabelValues(targetKinds.bound(target)).Inc()
	}
}

// HeartbeatSent counts a ping of the heartbeat's address. It failed if err is not nil.
func (m *Metrics) HeartbeatSent(err error) {
	switch {
	case m == nil:
	case err != nil:
		m.heartbeats.WithLabelValues("failed").Inc()
	default:
		m.heartbeats.WithLabelValues("sent").Inc()
	}
}

// SetAlertsPending shows how many alerts are waiting in the outbox.
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
