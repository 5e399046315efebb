package tracing

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collector is a tiny OTLP receiver.
type collector struct {
	*httptest.Server
	mu       sync.Mutex
	resource map[string]any
	spans    map[string]*tracepb.Span // by name
	headers  http.Header
}

func newCollector(t *testing.T) *collector {
	c := &collector{spans: map[string]*tracepb.Span{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var request coltrace.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &request)
		}
		if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("bad request %s %v: %v", r.URL, r.Header, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.headers = r.Header
		for _, resource := range request.ResourceSpans {
			c.resource = attributes(resource.Resource.Attributes)
			for _, scope := range resource.ScopeSpans {
				for _, span := range scope.Spans {
					c.spans[span.Name] = span
				}
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func attributes(all []*common.KeyValue) map[string]any {
	m := map[string]any{}
	for _, a := range all {
		switch v := a.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			m[a.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			m[a.Key] = v.IntValue
		case *common.AnyValue_DoubleValue:
			m[a.Key] = v.DoubleValue
		}
	}
	return m
}

// clean unsets what the machine may have set.
func clean(t *testing.T) {
	for _, name := range []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER",
		"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_TRACES_SAMPLER", "OTEL_SERVICE_NAME",
		"OTEL_RESOURCE_ATTRIBUTES", "OTEL_EXPORTER_OTLP_HEADERS",
	} {
		t.Setenv(name, "")
	}
}

func TestTraceOfAnEpoch(t *testing.T) {
	clean(t)
	c := newCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=kt")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
	tracer, err := Start(t.Context(), "v1.2.3", zerolog.Nop())
	if err != nil || tracer == nil {
		t.Fatalf("Start: %v, %v", tracer, err)
	}
	began := time.Unix(1_800_000_000, 0)
	span := tracer.Epoch(t.Context(), "example", 42)
	span.Stage("locate", began, began.Add(time.Second), time.Second)
	span.Stage("download", began.Add(time.Second), began.Add(9*time.Second), 2*time.Second)
	span.End(Result{Outcome: "rejected", Reason: "digest_mismatch", StoredBytes: 10, Bytes: 20})
	if err := tracer.Close(); err != nil {
		t.Fatal(err)
	}

	root, download := c.spans["epoch"], c.spans["download"]
	if root == nil || download == nil || c.spans["locate"] == nil || len(c.spans) != 3 {
		t.Fatalf("the collector got %v", c.spans)
	}
	if c.headers.Get("X-Tenant") != "kt" || c.resource["service.name"] != "ktaudit" ||
		c.resource["service.version"] != "v1.2.3" || c.resource["deployment.environment"] != "test" {
		t.Errorf("headers %v, resource %v", c.headers, c.resource)
	}
	if len(root.ParentSpanId) != 0 || !bytes.Equal(download.ParentSpanId, root.SpanId) || !bytes.Equal(download.TraceId, root.TraceId) {
		t.Error("the stage is not the epoch's child")
	}
	if took := time.Duration(download.EndTimeUnixNano - download.StartTimeUnixNano); took != 8*time.Second {
		t.Errorf("the download took %v", took)
	}
	if a := attributes(download.Attributes); a["ktaudit.busy_seconds"] != 2.0 {
		t.Errorf("the download has %v", a)
	}
	got := attributes(root.Attributes)
	for key, want := range map[string]any{
		"ktaudit.namespace": "example", "ktaudit.epoch": int64(42), "ktaudit.outcome": "rejected",
		"ktaudit.reason": "digest_mismatch", "ktaudit.stored_bytes": int64(10), "ktaudit.bytes": int64(20),
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	if root.Status.GetCode() != tracepb.Status_STATUS_CODE_UNSET {
		t.Error("a rejection is marked as an error of the program")
	}
}

func TestTraceOfAFailure(t *testing.T) {
	clean(t)
	c := newCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", c.URL+"/v1/traces")
	t.Setenv("OTEL_SERVICE_NAME", "auditor-7")
	tracer, err := Start(t.Context(), "v1", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	tracer.Epoch(t.Context(), "example", 1).End(Result{Failure: "timeout", Err: errors.New("too slow")})
	if err := tracer.Close(); err != nil {
		t.Fatal(err)
	}
	root := c.spans["epoch"]
	if root.GetStatus().GetCode() != tracepb.Status_STATUS_CODE_ERROR || root.Status.Message != "too slow" ||
		attributes(root.Attributes)["ktaudit.failure"] != "timeout" {
		t.Errorf("the collector got %v", root)
	}
	if c.resource["service.name"] != "auditor-7" {
		t.Errorf("the environment's name is not used: %v", c.resource)
	}
}

func TestTraceOfARound(t *testing.T) {
	clean(t)
	c := newCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	tracer, err := Start(t.Context(), "v1", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	tracer.Round(t.Context(), "follow", "example")(nil)
	tracer.Round(t.Context(), "backfill", "example")(errors.New("the store is away"))
	if err := tracer.Close(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]tracepb.Status_StatusCode{
		"follow": tracepb.Status_STATUS_CODE_UNSET, "backfill": tracepb.Status_STATUS_CODE_ERROR,
	} {
		span := c.spans[name]
		if span == nil || span.Status.GetCode() != want || attributes(span.Attributes)["ktaudit.namespace"] != "example" {
			t.Errorf("of %s the collector got %v", name, span)
		}
	}
	(*Tracer)(nil).Round(t.Context(), "follow", "example")(nil) // off
}

func TestOffUnlessAskedFor(t *testing.T) {
	cases := map[string]map[string]string{
		"nothing set": {},
		"disabled":    {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
		"no exporter": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
	}
	for name, environment := range cases {
		t.Run(name, func(t *testing.T) {
			clean(t)
			for key, value := range environment {
				t.Setenv(key, value)
			}
			tracer, err := Start(t.Context(), "v1", zerolog.Nop())
			if tracer != nil || err != nil {
				t.Fatalf("Start: %v, %v", tracer, err)
			}
			if err := tracer.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOffCostsNothing(t *testing.T) {
	var tracer *Tracer
	ctx, now := context.Background(), time.Now()
	if n := testing.AllocsPerRun(100, func() {
		span := tracer.Epoch(ctx, "example", 1)
		span.Stage("locate", now, now, 0)
		span.End(Result{Outcome: "verified"})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestSampler(t *testing.T) {
	clean(t)
	c := newCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	tracer, err := Start(t.Context(), "v1", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	if span := tracer.Epoch(t.Context(), "example", 1); span != nil {
		t.Error("an epoch is traced that was not sampled")
	}
	if err := tracer.Close(); err != nil || len(c.spans) != 0 {
		t.Errorf("%v, %v", err, c.spans)
	}
}

func TestOtherProtocols(t *testing.T) {
	clean(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	if _, err := Start(t.Context(), "v1", zerolog.Nop()); err == nil || !strings.Contains(err.Error(), "grpc") {
		t.Errorf("grpc: %v", err)
	}
}

// An unreachable collector is logged now and then. It blocks no epoch and prints nothing elsewhere.
func TestCollectorIsAway(t *testing.T) {
	clean(t)
	away := httptest.NewServer(http.NotFoundHandler())
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", away.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "100")
	away.Close()
	var log bytes.Buffer
	tracer, err := Start(t.Context(), "v1", zerolog.New(zerolog.SyncWriter(&log)))
	if err != nil {
		t.Fatal(err)
	}
	tracer.Epoch(t.Context(), "example", 1).End(Result{Outcome: "verified"})
	err = tracer.Close()
	if err == nil && !strings.Contains(log.String(), "traces are not sent") {
		t.Errorf("nobody is told; the log is %q", log.String())
	}
}
