// Package tracing sends an OpenTelemetry trace of every epoch, and of every look of a scheduler at a log, to a collector, by OTLP
// over HTTP.
//
// It is off unless the standard environment variables name a collector (OTEL_EXPORTER_OTLP_ENDPOINT or
// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT). The others have their usual meaning too: OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER,
// OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_SDK_DISABLED and so on. What is off costs nothing: a nil *Tracer and
// a nil *Span do nothing.
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

// closeTimeout is how long the last traces may take to be sent.
const closeTimeout = 5 * time.Second

// Tracer sends traces. It may be used by any number of goroutines.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// Start returns a Tracer as the environment says, or nil if the environment asks for none. The caller must call Close.
// Traces that cannot be sent are dropped with a warning; they hold up nothing.
func Start(ctx context.Context, version string, log zerolog.Logger) (*Tracer, error) {
	if !asked() {
		return nil, nil
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if protocol := os.Getenv(name); protocol != "" && protocol != "http/protobuf" {
			return nil, fmt.Errorf("%s=%q: only http/protobuf is spoken here", name, protocol)
		}
	}
	// The SDK has one handler for a process, and without one it prints to standard error.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn().Err(err).Msg("traces are not sent") }))
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	described, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "ktaudit"), attribute.String("service.version", version)),
		resource.WithHost(),
		resource.WithFromEnv(), // last, so that it has the last word
	)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(described))
	return &Tracer{provider, provider.Tracer("github.com/ktaudit/ktaudit")}, nil
}

// asked says whether the environment names a collector and doesn't say to leave it alone.
func asked() bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return false
	}
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// Close sends what is left.
func (t *Tracer) Close() error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("traces: %w", err)
	}
	return nil
}

// Span is the trace of one attempt at an epoch.
type Span struct {
	tracer trace.Tracer
	ctx    context.Context // holds the span that stages belong to
}

// Result is how an attempt ended: with an outcome, or with a failure.
type Result struct {
	Outcome, Reason    string
	Failure            string
	Err                error
	StoredBytes, Bytes int64
}

// Epoch begins a trace. The caller must call End. A span that ctx may hold becomes its parent.
func (t *Tracer) Epoch(ctx context.Context, namespace string, epoch uint64) *Span {
	if t == nil {
		return nil
	}
	ctx, span := t.tracer.Start(ctx, "epoch")
	if !span.IsRecording() {
		return nil // the sampler left it out
	}
	span.SetAttributes(attribute.String("ktaudit.namespace", namespace), attribute.Int64("ktaudit.epoch", int64(epoch)))
	return &Span{t.tracer, ctx}
}

// Stage adds a stage after it has ended. Busy is for how long of it the epoch had nothing else to do.
func (s *Span) Stage(name string, began, ended time.Time, busy time.Duration) {
	if s == nil {
		return
	}
	_, span := s.tracer.Start(s.ctx, name, trace.WithTimestamp(began))
	span.SetAttributes(attribute.Float64("ktaudit.busy_seconds", busy.Seconds()))
	span.End(trace.WithTimestamp(ended))
}

// End sends the trace off. A rejection is no error of the program's, so only a failure marks the span as one.
func (s *Span) End(r Result) {
	if s == nil {
		return
	}
	span := trace.SpanFromContext(s.ctx)
	span.SetAttributes(attribute.Int64("ktaudit.stored_bytes", r.StoredBytes), attribute.Int64("ktaudit.bytes", r.Bytes))
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

// Round begins the trace of a look that a scheduler takes at a log; what names it. The caller must call end.
func (t *Tracer) Round(ctx context.Context, what, namespace string) (end func(error)) {
	if t == nil {
		return func(error) {}
	}
	_, span := t.tracer.Start(ctx, what, trace.WithAttributes(attribute.String("ktaudit.namespace", namespace)))
	return func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
}
