package metrics

import (
	"context"
	stdlog "log"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"
)

// debugWriteTimeout bounds how long a profile or a trace may be taken.
const debugWriteTimeout = 10 * time.Minute

// ServeDebug serves, on an address of its own, what those need who look into a running process:
//
//	/debug/pprof/   profiles of the CPU, the heap and so on, for go tool pprof
//	/metrics        all metrics of Go's runtime, of which the other /metrics has a few
//
// Profiles slow the process down and show its command line, so this is never on the address of
// Serve, which others reach.
func ServeDebug(ctx context.Context, address string, log zerolog.Logger) (*Server, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(collectors.MetricsAll)),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: stdlog.New(debugWriter{log}, "", 0), ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: scrapesAtOnce,
	}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	s := &Server{log: log}
	if err := s.listen(ctx, address, "profiles", mux, debugWriteTimeout); err != nil {
		return nil, err
	}
	return s, nil
}
