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
	// closeTimeout is how long requests may take after the server was closed.
	closeTimeout = 5 * time.Second
	// scrapesAtOnce bounds how many pages are served at the same time.
	scrapesAtOnce = 4
)

// Server serves the metrics and health of a process over HTTP. A nil *Server serves nothing.
//
//	/metrics   for Prometheus
//	/healthz   200 while the process is alive
//	/readyz    200 while every dependency answers and the process is not stopping, else 503; names
//	           those that do not, and logs whose epochs in flight come no further
type Server struct {
	metrics *Metrics
	http    *http.Server
	address net.Addr
	ended   chan struct{}
	log     zerolog.Logger

	mu   sync.Mutex
	down map[string]bool // dependencies that did not answer when last asked
}

// Serve listens on address (host:port, or ":9090" for any host; port 0 is any free port) and serves
// there until Close. Once ctx ends, /readyz reports that the process is stopping, while the metrics
// of its last epochs can still be scraped.
func (m *Metrics) Serve(ctx context.Context, address string, log zerolog.Logger) (*Server, error) {
	s := &Server{metrics: m, log: log, down: map[string]bool{}}
	if err := s.listen(ctx, address, "metrics", s.handler(ctx), 30*time.Second); err != nil {
		return nil, err
	}
	return s, nil
}

// listen begins to serve what is called what in errors and log lines.
func (s *Server) listen(ctx context.Context, address, what string, handler http.Handler, writeTimeout time.Duration) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	s.address, s.ended = listener.Addr(), make(chan struct{})
	s.http = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          stdlog.New(debugWriter{s.log}, "", 0),
	}
	go func() {
		defer close(s.ended)
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error().Err(err).Msgf("the %s server failed: restart ktaudit to serve %s again", what, what)
		}
	}()
	s.log.Info().Stringer("address", s.address).Msg("serving " + what)
	return nil
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
		ErrorLog: stdlog.New(debugWriter{s.log}, "", 0),
		// one failing collector must not hide the others
		ErrorHandling:       promhttp.ContinueOnError,
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

// ready names the dependencies that do not answer. Their errors go to the log only: whoever can
// reach the port need not learn their addresses.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	answers := s.metrics.dependencyErrors(r.Context())
	if r.Context().Err() != nil {
		return // the client has gone, which says nothing about the dependencies
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
		text += name + ": " + brief(err) + "\n"
	}
	if text == "" {
		text = "ok\n"
	}
	answer(w, status, text+s.metrics.stalls())
}

// brief is what an error says of a dependency without its address.
func brief(err error) string {
	if short, ok := errors.AsType[interface {
		error
		Brief() string
	}](err); ok {
		return short.Brief()
	}
	return "not reachable"
}

// note logs when a dependency stops answering and when it answers again.
func (s *Server) note(name string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil && !s.down[name]:
		s.log.Warn().Str("dependency", name).Err(err).Msg("a dependency does not answer or refuses: /readyz reports not ready")
	case err == nil && s.down[name]:
		s.log.Info().Str("dependency", name).Msg("a dependency answers again")
	}
	s.down[name] = err != nil
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the client may be gone
}

// debugWriter logs what net/http would print about its clients.
type debugWriter struct{ log zerolog.Logger }

func (w debugWriter) Write(p []byte) (int, error) {
	w.log.Debug().Msg(string(p))
	return len(p), nil
}
