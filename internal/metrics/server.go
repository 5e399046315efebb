package metrics

import (
	"context"
	"errors"
	"fmt"
	stdlog "log"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"
)

const (
	// closeTimeout is how long requests may go on once the server is closed.
	closeTimeout = 5 * time.Second
	// scrapesAtOnce bounds how many pages are made at the same time.
	scrapesAtOnce = 4
)

// Server answers HTTP requests for a process's metrics and health. A nil *Server is one that was not asked for.
//
//	/metrics   for Prometheus
//	/healthz   200 while the process is alive
//	/readyz    200 while every dependency answers and the process is not about to stop, else 503; says which do not
type Server struct {
	metrics *Metrics
	http    *http.Server
	address net.Addr
	ended   chan struct{}
	log     zerolog.Logger

	mu   sync.Mutex
	down map[string]bool // dependencies that did not answer when last asked
}

// Serve listens on address (host:port, and a port alone as ":9090"; port 0 is any free one) and answers there until Close.
// From when ctx ends, /readyz says that the process stops, while the metrics of its last epochs can still be fetched.
func (m *Metrics) Serve(ctx context.Context, address string, log zerolog.Logger) (*Server, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	s := &Server{metrics: m, address: listener.Addr(), ended: make(chan struct{}), log: log, down: map[string]bool{}}
	s.http = &http.Server{
		Handler:           s.handler(ctx),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          stdlog.New(debugWriter{log}, "", 0),
	}
	go func() {
		defer close(s.ended)
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error().Err(err).Msg("metrics are no longer served")
		}
	}()
	log.Info().Stringer("address", s.address).Msg("metrics are served")
	return s, nil
}

// Address is where the server listens.
func (s *Server) Address() string { return s.address.String() }

// Close finishes the requests under way and ends the server.
func (s *Server) Close() error {
	if s == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("metrics: %w", err), s.http.Close())
	}
	<-s.ended
	return err
}

func (s *Server) handler(stopping context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{
		ErrorLog:            stdlog.New(debugWriter{s.log}, "", 0),
		ErrorHandling:       promhttp.ContinueOnError, // a part that fails is no reason to hide the rest
		Registry:            s.metrics.registry,
		MaxRequestsInFlight: scrapesAtOnce,
		EnableOpenMetrics:   true,
	}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if stopping.Err() != nil {
			answer(w, http.StatusServiceUnavailable, "stopping\n")
			return
		}
		s.ready(w, r)
	})
	return mux
}

// ready names the dependencies that do not answer. What they said instead goes to the log: whoever can reach the port need
// not learn where they are.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	answers := s.metrics.dependencyErrors(r.Context())
	if r.Context().Err() != nil {
		return // whoever asked has gone, which says nothing about the dependencies
	}
	status, text := http.StatusOK, ""
	for _, name := range slices.Sorted(maps.Keys(answers)) {
		err := answers[name]
		s.note(name, err)
		if err == nil {
			text += name + ": ok\n"
			continue
		}
		status = http.StatusServiceUnavailable
		text += name + ": not reachable\n"
	}
	if text == "" {
		text = "ok\n"
	}
	answer(w, status, text)
}

// note logs when a dependency goes and when it comes back.
func (s *Server) note(name string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil && !s.down[name]:
		s.log.Warn().Str("dependency", name).Err(err).Msg("not ready")
	case err == nil && s.down[name]:
		s.log.Info().Str("dependency", name).Msg("ready again")
	}
	s.down[name] = err != nil
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // whoever asked may be gone
}

// debugWriter passes on what net/http would print about its clients.
type debugWriter struct{ log zerolog.Logger }

func (w debugWriter) Write(p []byte) (int, error) {
	w.log.Debug().Msg(string(p))
	return len(p), nil
}
