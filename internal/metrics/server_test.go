package metrics

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/rs/zerolog"
)

// scrape returns m's page, as Prometheus gets it.
func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	s := serve(t, t.Context(), m, zerolog.Nop())
	status, body := get(t, s, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("/metrics: %d %s", status, body)
	}
	return body
}

func serve(t *testing.T, ctx context.Context, m *Metrics, log zerolog.Logger) *Server {
	t.Helper()
	s, err := m.Serve(ctx, "127.0.0.1:0", log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func get(t *testing.T, s *Server, path string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	response, err := client.Get("http://" + s.Address() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestHealthAndReadiness(t *testing.T) {
	t.Parallel()
	m := New(Options{})
	var redis, store atomic.Pointer[error]
	check := func(p *atomic.Pointer[error]) func(context.Context) error {
		return func(context.Context) error {
			if err := p.Load(); err != nil {
				return *err
			}
			return nil
		}
	}
	m.WatchDependency("redis", check(&redis))
	m.WatchDependency("audit_store", check(&store))
	for _, d := range m.dependencies {
		d.state.fresh = 0
	}
	ctx, stop := context.WithCancel(t.Context())
	var log lockedBuffer
	s := serve(t, ctx, m, zerolog.New(&log))

	expect := func(path string, status int, body string) {
		t.Helper()
		if gotStatus, got := get(t, s, path); gotStatus != status || got != body {
			t.Errorf("%s: %d %q, want %d %q", path, gotStatus, got, status, body)
		}
	}
	expect("/healthz", 200, "ok\n")
	expect("/readyz", 200, "audit_store: ok\nredis: ok\n")

	secret := errors.New("dial tcp 10.1.2.3:6379: refused")
	redis.Store(&secret)
	expect("/readyz", 503, "audit_store: ok\nredis: not reachable\n")
	expect("/readyz", 503, "audit_store: ok\nredis: not reachable\n")
	expect("/healthz", 200, "ok\n")
	if _, page := get(t, s, "/metrics"); !strings.Contains(page, `ktaudit_dependency_up{dependency="redis"} 0`) ||
		!strings.Contains(page, `ktaudit_dependency_up{dependency="audit_store"} 1`) {
		t.Errorf("the page does not say which dependency is down:\n%s", page)
	}
	redis.Store(nil)
	expect("/readyz", 200, "audit_store: ok\nredis: ok\n")
	if got := log.String(); strings.Count(got, "10.1.2.3") != 1 || strings.Count(got, "answers again") != 1 {
		t.Errorf("one line each for going and coming back was wanted, the log is\n%s", got)
	}

	stop()
	expect("/readyz", 503, "stopping\n")
	expect("/healthz", 200, "ok\n")
}

func TestReadinessDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	m := New(Options{})
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	m.WatchDependency("audit_store", func(context.Context) error { <-hang; return nil })
	m.dependencies[0].state.timeout = 20 * time.Millisecond
	s := serve(t, t.Context(), m, zerolog.Nop())
	if status, body := get(t, s, "/readyz"); status != 503 || body != "audit_store: not reachable\n" {
		t.Errorf("%d %q", status, body)
	}
}

func TestQueues(t *testing.T) {
	t.Parallel()
	m := New(Options{Namespaces: []string{namespace}})
	m.WatchQueues(func(context.Context) (Queues, error) {
		return Queues{
			Queues: []Queue{
				{Namespace: namespace, Class: "fresh", Pending: 5, Active: 1, Retry: 2, Archived: 3, OldestPending: time.Minute},
				{Namespace: namespace, Class: "backfill", Paused: true},
				{Namespace: "strange", Class: "fresh"},
				{Namespace: "stranger", Class: "fresh"},
			},
			Workers: map[string]int{namespace: 2, "strange": 9},
		}, nil
	})
	page := scrape(t, m)
	for _, want := range []string{
		`ktaudit_queue_tasks{class="fresh",namespace="example.log.v1",state="pending"} 5`,
		`ktaudit_queue_tasks{class="fresh",namespace="example.log.v1",state="archived"} 3`,
		`ktaudit_queue_oldest_pending_seconds{class="fresh",namespace="example.log.v1"} 60`,
		`ktaudit_queue_paused{class="backfill",namespace="example.log.v1"} 1`,
		`ktaudit_queue_paused{class="fresh",namespace="example.log.v1"} 0`,
		`ktaudit_workers{namespace="example.log.v1"} 2`,
	} {
		if !strings.Contains(page, want+"\n") {
			t.Errorf("%s is not on the page\n%s", want, page)
		}
	}
	if strings.Contains(page, "strange") {
		t.Error("a log is shown that nobody named")
	}
}

func TestQueuesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	m := New(Options{Namespaces: []string{namespace}})
	m.WatchQueues(func(context.Context) (Queues, error) { return Queues{}, errors.New("no redis") })
	page := scrape(t, m)
	if strings.Contains(page, "ktaudit_queue") || strings.Contains(page, "ktaudit_workers") {
		t.Error("queues are shown that could not be read")
	}
	if !strings.Contains(page, "ktaudit_epochs_total") {
		t.Error("and nothing else is")
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, address := range map[string]string{"taken": taken.Addr().String(), "no port": "localhost", "nonsense": "::::"} {
		if s, err := New(Options{}).Serve(t.Context(), address, zerolog.Nop()); err == nil {
			t.Errorf("%s: %s is served", name, address)
			s.Close()
		}
	}
	if err := (*Server)(nil).Close(); err != nil {
		t.Error(err)
	}
}

func TestRequestsThatAreNone(t *testing.T) {
	t.Parallel()
	s := serve(t, t.Context(), New(Options{}), zerolog.Nop())
	for path, want := range map[string]int{"/": 404, "/metrics/x": 404, "/debug/pprof/": 404} {
		if status, _ := get(t, s, path); status != want {
			t.Errorf("GET %s: %d, want %d", path, status, want)
		}
	}
	response, err := http.Post("http://"+s.Address()+"/metrics", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 405 {
		t.Errorf("POST /metrics: %d", response.StatusCode)
	}
	if s.http.ReadHeaderTimeout == 0 || s.http.ReadTimeout == 0 || s.http.WriteTimeout == 0 || s.http.IdleTimeout == 0 {
		t.Error("a client may hold a connection for ever")
	}
}

// Close lets a request finish that is under way.
func TestCloseIsGraceful(t *testing.T) {
	t.Parallel()
	m := New(Options{})
	asked, reply := make(chan struct{}), make(chan struct{})
	m.WatchDependency("redis", func(context.Context) error { close(asked); <-reply; return nil })
	m.dependencies[0].state.timeout = time.Minute
	s, err := m.Serve(t.Context(), "127.0.0.1:0", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		if status, body := get(t, s, "/readyz"); status != 200 {
			t.Errorf("%d %q", status, body)
		}
	})
	<-asked
	all.Go(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for { // until no new connection is taken
		c, err := net.Dial("tcp", s.Address())
		if err != nil {
			break
		}
		c.Close()
	}
	close(reply)
	all.Wait()
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A log that gives nothing shows; that the others go on is no reason to be unready.
func TestHostileStallShows(t *testing.T) {
	t.Parallel()
	m := New(Options{Namespaces: []string{"hostile", "honest"}})
	m.WatchStalled(func() map[string]observe.Stall {
		return map[string]observe.Stall{"hostile": {Epochs: 8, For: 95 * time.Second}, "honest": {Epochs: 1, For: 3 * time.Second}}
	})
	s, err := m.Serve(t.Context(), "127.0.0.1:0", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for path, want := range map[string]string{
		"/readyz":  "log hostile: 8 epochs come no further, for 1m35s; other logs go on\n",
		"/metrics": "ktaudit_stalled_epochs{namespace=\"hostile\"} 8\n",
	} {
		response, err := http.Get("http://" + s.Address() + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), want) || path == "/readyz" && strings.Contains(string(body), "honest") {
			t.Errorf("%s: %d %s", path, response.StatusCode, body)
		}
	}
}
