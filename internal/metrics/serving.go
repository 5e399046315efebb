package metrics

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Serving is measured by processes that serve the API. The methods of nil measure nothing.
type Serving struct {
	names set

	signed, conflicts, notEnqueued *prometheus.CounterVec
	lastEpoch, lastSigned          *prometheus.GaugeVec
	requests                       *prometheus.CounterVec
	took                           *prometheus.HistogramVec

	mu     sync.Mutex
	newest map[string]uint64 // by namespace
}

// Serving returns what measures the API. It may be called once.
func (m *Metrics) Serving() *Serving {
	if m == nil {
		return nil
	}
	s := &Serving{
		names: m.names, newest: map[string]uint64{},
		signed:    counter("signed_total", "Signed digests given by this process, again for posts that were repeated.", "namespace"),
		conflicts: counter("signing_conflicts_total", "Posts of another digest than the one that is signed.", "namespace"),
		notEnqueued: counter("signed_not_enqueued_total", "Signed epochs that this process could not put on the queue, and leaves to the scheduler.",
			"namespace"),
		lastEpoch:  gauge("last_signed_epoch", "The newest epoch that this process gave a signed digest of.", "namespace"),
		lastSigned: gauge("last_signed_timestamp_seconds", "When this process last gave a signed digest.", "namespace"),
		requests:   counter("api_requests_total", "Requests to the API, by path and status.", "method", "route", "code"),
		took:       histogram("api_request_seconds", "Time until a request to the API was answered.", "method", "route"),
	}
	m.registry.MustRegister(s.signed, s.conflicts, s.notEnqueued, s.lastEpoch, s.lastSigned, s.requests, s.took)
	for namespace := range m.names {
		s.signed.WithLabelValues(namespace)
		s.conflicts.WithLabelValues(namespace)
		s.notEnqueued.WithLabelValues(namespace)
	}
	return s
}

// Signed counts a signed digest that was given.
func (s *Serving) Signed(namespace string, epoch uint64, at time.Time) {
	if s == nil {
		return
	}
	namespace = s.names.bound(namespace)
	s.signed.WithLabelValues(namespace).Inc()
	s.lastSigned.WithLabelValues(namespace).Set(seconds(at))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.newest[namespace] = max(s.newest[namespace], epoch)
	s.lastEpoch.WithLabelValues(namespace).Set(float64(s.newest[namespace]))
}

// Conflict counts a post of another digest than the one that is signed.
func (s *Serving) Conflict(namespace string) {
	if s != nil {
		s.conflicts.WithLabelValues(s.names.bound(namespace)).Inc()
	}
}

// NotEnqueued counts a signed epoch that is not put on the queue.
func (s *Serving) NotEnqueued(namespace string) {
	if s != nil {
		s.notEnqueued.WithLabelValues(s.names.bound(namespace)).Inc()
	}
}

// Request counts a request to a route of the API; the route is empty if there is none.
func (s *Serving) Request(method, route string, status int, took time.Duration) {
	if s == nil {
		return
	}
	if route == "" {
		route = other
	}
	method = methods.bound(method)
	code := other
	if http.StatusText(status) != "" {
		code = strconv.Itoa(status)
	}
	s.requests.WithLabelValues(method, route, code).Inc()
	s.took.WithLabelValues(method, route).Observe(took.Seconds())
}

var methods = newSet(http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodOptions)
