// Package tracing sends an OpenTelemetry trace of each attempt at an epoch, and of each round of a
// scheduler, to a collector, by OTLP over HTTP.
//
// It promises that tracing holds up nothing: traces that cannot be sent are dropped with a warning.
// It leaves to its callers what the stages of an epoch are, and to package metrics the numbers.
//
// Tracing is off unless the standard environment variables name a collector
// (OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT). The other variables have
// their usual meaning, too: OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME,
// OTEL_RESOURCE_ATTRIBUTES, OTEL_SDK_DISABLED and so on. While it is off it costs nothing: a nil
// *Tracer and a nil *Span do nothing.
package tracing

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// closeTimeout bounds sending the last traces.
const closeTimeout = 5 * time.Second

// Tracer sends traces. It may be used by any number of goroutines.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// Start returns the Tracer that the environment asks for, or nil if it asks for none. The caller
// must call Close.
func Start(ctx context.Context, version string, log zerolog.Logger) (*Tracer, error) {
	if !enabled() {
		return nil, nil
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if protocol := os.Getenv(name); protocol != "" && protocol != "http/protobuf" {
			return nil, fmt.Errorf("%s=%q: ktaudit sends traces by http/protobuf only; set this or leave the variable out", name, protocol)
		}
	}
	// The SDK has one handler for a process, and without one it prints to standard error.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		log.Warn().Err(err).Msg("traces are not sent: check the collector; the audit goes on without them")
	}))
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	attributes, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(
			attribute.String("service.name", "ktaudit"), attribute.String("service.version", version),
		),
		resource.WithHost(),
		resource.WithFromEnv(), // last, so that the environment overrides the others
	)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(attributes))
	return &Tracer{provider, provider.Tracer("github.com/ktaudit/ktaudit")}, nil
}

// enabled reports whether the environment names a collector and does not switch tracing off.
func enabled() bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return false
	}
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// Close sends the traces that are left.
func (t *Tracer) Close() error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("sending the last traces: %w", err)
	}
	return nil
}

// Span is the trace of one attempt at an epoch.
type Span struct {
	tracer trace.Tracer
	ctx    context.Context // holds the span that is the parent of the stages
}

// Result is how an attempt ended: with an outcome, or with a failure.
type Result struct {
	Outcome, Reason    string
	Failure            string
	Err                error
	StoredBytes, Bytes int64
}

// Epoch begins the trace of an attempt at an epoch. The caller must call End. If ctx holds a span,
// it becomes the parent.
func (t *Tracer) Epoch(ctx context.Context, namespace string, epoch uint64) *Span {
	if t == nil {
		return nil
	}
	ctx, span := t.tracer.Start(ctx, "epoch")
	if !span.IsRecording() {
		return nil // not sampled
	}
	span.SetAttributes(
		attribute.String("ktaudit.namespace", namespace), attribute.Int64("ktaudit.epoch", int64(epoch)),
	)
	return &Span{t.tracer, ctx}
}

// Stage adds a stage after it has ended. Busy is how long the epoch waited for this stage alone.
func (s *Span) Stage(name string, began, ended time.Time, busy time.Duration) {
	if s == nil {
		return
	}
	_, span := s.tracer.Start(s.ctx, name, trace.WithTimestamp(began))
	span.SetAttributes(attribute.Float64("ktaudit.busy_seconds", busy.Seconds()))
	span.End(trace.WithTimestamp(ended))
}

// End ends the trace and hands it over for sending. Only a failure marks the span as an error: a
// rejection is no error of the program.
func (s *Span) End(r Result) {
	if s == nil {
		return
	}
	span := trace.SpanFromContext(s.ctx)
	span.SetAttributes(
		attribute.Int64("ktaudit.stored_bytes", r.StoredBytes), attribute.Int64("ktaudit.bytes", r.Bytes),
	)
	for _, a := range []struct{ key, value string }{
		{"ktaudit.outcome", r.Outcome}, {"ktaudit.reason", r.Reason}, {"ktaudit.failure", r.Failure},
	} {
		if a.value != "" {
			span.SetAttributes(attribute.String(a.key, a.value))
		}
	}
	if r.Err != nil {
		span.SetStatus(codes.Error, r.Err.Error())
	}
	span.End()
}

// Round begins the trace of a round of a scheduler for one log; name says which kind of round. The
// caller must call end.
func (t *Tracer) Round(ctx context.Context, name, namespace string) (end func(error)) {
	if t == nil {
		return func(error) {}
	}
	_, span := t.tracer.Start(ctx, name, trace.WithAttributes(attribute.String("ktaudit.namespace", namespace)))
	return func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
}
