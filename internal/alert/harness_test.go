package alert

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jsonpost"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
	"gocloud.dev/blob/memblob"
)

const namespace = "example.key-transparency.v1"

// quick retries within a test's patience.
var quick = retryTimes{first: 10 * time.Millisecond, longest: 50 * time.Millisecond, refused: 100 * time.Millisecond,
	claimed: 20 * time.Millisecond}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	const within = 5 * time.Minute // a machine may be very busy
	for deadline := time.Now().Add(within); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// flush has a dispatcher with a short lease send all that is due, however busy the machine is.
func flush(ctx context.Context, d *Dispatcher) error {
	for {
		if err := d.Flush(ctx); err == nil || !strings.Contains(err.Error(), "the audit store is too slow") {
			return err
		}
	}
}

// opener opens the same store again and again, as several processes would.
type opener func(t *testing.T) *auditstore.Store

func inMemory() opener {
	b := memblob.OpenBucket(nil)
	return func(*testing.T) *auditstore.Store { return auditstore.New(b) }
}

func at(url string) opener {
	return func(t *testing.T) *auditstore.Store {
		s, err := auditstore.Open(t.Context(), url)
		must(t, err)
		t.Cleanup(func() { s.Close() })
		return s
	}
}

// onEachStore runs a test on all that may hold an audit store.
func onEachStore(t *testing.T, test func(*testing.T, opener)) {
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		test(t, inMemory())
	})
	t.Run("local disk", func(t *testing.T) {
		t.Parallel()
		test(t, at(t.TempDir()))
	})
	t.Run("S3", func(t *testing.T) {
		t.Parallel()
		test(t, at(testservers.S3(t).BucketURL("audit")))
	})
}

// message is what a receiver receives.
type message struct {
	Status string
	Alert
}

// receiver is the server of a target that keeps what it accepted.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	accepted []message
}

// newReceiver answers as a test says, and 200 if it says nothing or 0.
func newReceiver(t *testing.T, answer func(r *http.Request, m message) int) *receiver {
	t.Helper()
	rc := &receiver{}
	rc.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m message
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
			return
		}
		if answer != nil {
			if code := answer(r, m); code != 0 && code != http.StatusOK {
				w.WriteHeader(code)
				return
			}
		}
		rc.mu.Lock()
		defer rc.mu.Unlock()
		rc.accepted = append(rc.accepted, m)
	}))
	t.Cleanup(rc.Close)
	return rc
}

// got returns what was accepted, as "status incident".
func (rc *receiver) got() []string {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	var all []string
	for _, m := range rc.accepted {
		all = append(all, m.Status+" "+m.Incident)
	}
	return all
}

func (rc *receiver) want(t *testing.T, want ...string) {
	t.Helper()
	if got := rc.got(); !slices.Equal(got, want) {
		t.Errorf("received:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func (rc *receiver) target(t *testing.T, name string) Target {
	t.Helper()
	target, err := posting(name, rc.URL)
	must(t, err)
	return target
}

// posting makes a target of a receiver.
func posting(name, address string) (Target, error) {
	u, err := url.Parse(address)
	if err != nil {
		return Target{}, err
	}
	p := jsonpost.New(u)
	return Target{Name: name, Batch: 1, Send: func(ctx context.Context, alerts []Alert) error {
		body, err := json.Marshal(message{alerts[0].Status(), alerts[0]})
		if err != nil {
			return err
		}
		return p.Post(ctx, body, nil)
	}}, nil
}

// dispatcher returns one with quick retries and short pauses, and a lease that no test outlives, unless the options
// set others.
func dispatcher(t *testing.T, s *auditstore.Store, o Options, targets ...Target) *Dispatcher {
	t.Helper()
	o.Store, o.Namespaces, o.Targets, o.Every = s, []string{namespace}, targets, 10*time.Millisecond
	if o.retry == (retryTimes{}) {
		o.retry = quick
	}
	if o.pauses == nil {
		o.pauses = []time.Duration{10 * time.Millisecond}
	}
	if o.lease == 0 {
		o.lease = 5 * time.Minute
	}
	d, err := NewDispatcher(o)
	must(t, err)
	return d
}

// start runs a dispatcher until the test ends, or until the function it returns is called.
func start(t *testing.T, d *Dispatcher) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := d.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

func rejection(epoch uint64) verdict.Verdict {
	return verdict.Verdict{
		Schema: verdict.Schema, Namespace: namespace, Epoch: epoch, Outcome: verdict.Rejected, Reason: "digest_mismatch",
		Detail: "the end digest is another", PreviousDigest: strings.Repeat("a1", 32), Digest: strings.Repeat("b2", 32),
		Signature: verdict.Signature{Status: "not_required"}, Software: "test",
	}
}

func filled(a Alert) Alert {
	a, err := a.Complete(began)
	if err != nil {
		panic(err)
	}
	return a
}

func resolved(a Alert, at time.Time) Alert {
	a.ResolvedAt = at
	return a
}

func raise(t *testing.T, s *auditstore.Store, alerts ...Alert) {
	t.Helper()
	for _, a := range alerts {
		_, err := Outbox{s}.Raise(t.Context(), a)
		must(t, err)
	}
}

func wantOpen(t *testing.T, s *auditstore.Store, want ...string) {
	t.Helper()
	if got, err := s.Outbox(namespace).Open(t.Context()); err != nil || !slices.Equal(got, want) {
		t.Errorf("open: %q, %v, want %q", got, err, want)
	}
}

// lines is a log that tests read.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func logger() (zerolog.Logger, *lines) {
	l := &lines{}
	return zerolog.New(l), l
}
