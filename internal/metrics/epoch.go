package metrics

import (
	"context"
	"time"

	"github.com/ktaudit/ktaudit/internal/tracing"
	"github.com/ktaudit/ktaudit/jobs/observe"
)

// Epoch measures one attempt at an epoch. It belongs to one goroutine. A nil *Epoch measures
// nothing.
type Epoch struct {
	metrics   *Metrics
	namespace string
	started   time.Time
	span      *tracing.Span

	stored, bytes int64
}

// Begin is called when work on an epoch begins. The caller must call End.
func (m *Metrics) Begin(ctx context.Context, namespace string, epoch uint64) observe.Attempt {
	if m == nil {
		return (*Epoch)(nil)
	}
	namespace = m.names.bound(namespace)
	m.active.WithLabelValues(namespace).Inc()
	return &Epoch{
		metrics: m, namespace: namespace, started: time.Now(),
		span: m.tracer.Epoch(ctx, namespace, epoch),
	}
}

// Stage is called when a stage that ran alone has ended.
func (e *Epoch) Stage(s observe.Stage, began time.Time) {
	if e != nil {
		now := time.Now()
		e.Overlapped(s, began, now, now.Sub(began))
	}
}

// Overlapped is called after a stage that ran beside another; the epoch waited for it during busy
// only.
func (e *Epoch) Overlapped(s observe.Stage, began, ended time.Time, busy time.Duration) {
	if e == nil {
		return
	}
	stage := stages.bound(string(s))
	e.metrics.stages.WithLabelValues(e.namespace, stage).Observe(busy.Seconds())
	e.span.Stage(stage, began, ended, busy)
}

// Read is called after each complete read of a batch; a batch that looks wrong is read twice.
func (e *Epoch) Read(stored, bytes int64) {
	if e == nil {
		return
	}
	e.stored += stored
	e.bytes += bytes
	e.metrics.downloaded.WithLabelValues(e.namespace).Add(float64(stored))
	e.metrics.decompressed.WithLabelValues(e.namespace).Add(float64(bytes))
}

// End is called once, when the attempt is over.
func (e *Epoch) End(r observe.Result) {
	if e == nil {
		return
	}
	m, now := e.metrics, time.Now()
	m.active.WithLabelValues(e.namespace).Dec()
	if r.Outcome == "" {
		r.Failure = observe.Failure(failureKinds.bound(string(r.Failure)))
		m.failures.WithLabelValues(e.namespace, string(r.Failure)).Inc()
	} else {
		r.Outcome = outcomes.bound(r.Outcome)
		e.judged(r, now)
	}
	e.span.End(tracing.Result{
		Outcome: r.Outcome, Reason: r.Reason, Failure: string(r.Failure), Err: r.Err,
		StoredBytes: e.stored, Bytes: e.bytes,
	})
}

func (e *Epoch) judged(r observe.Result, now time.Time) {
	m, reason := e.metrics, ""
	switch r.Outcome {
	case observe.Rejected:
		reason = reasons.bound(r.Reason)
		m.lastRejected.WithLabelValues(e.namespace, reason).Set(seconds(now))
	case observe.Contradiction:
		m.lastRejected.WithLabelValues(e.namespace, observe.Contradiction).Set(seconds(now))
	}
	m.epochs.WithLabelValues(e.namespace, r.Outcome, reason).Inc()
	if r.Outcome == observe.Duplicate {
		return
	}
	m.lastVerdict.WithLabelValues(e.namespace).Set(seconds(now))
	m.duration.WithLabelValues(e.namespace).Observe(now.Sub(e.started).Seconds())
}

// seconds returns a time in seconds since 1970, as Prometheus expects.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
