package alert

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/jsonpost"
)

func TestATargetThatHangsOrFailsDelaysNoOther(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	slow := newReceiver(t, func(r *http.Request, _ message) int {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
		return http.StatusServiceUnavailable
	})
	failing := newReceiver(t, func(*http.Request, message) int { return http.StatusInternalServerError })
	rc := newReceiver(t, nil)
	open := inMemory()
	s := open(t)
	start(t, dispatcher(t, open(t), Options{}, slow.target(t, "slow"), failing.target(t, "failing"), rc.target(t, "hook")))
	began := time.Now()
	for epoch := range uint64(5) {
		raise(t, s, OfVerdict(rejection(epoch)))
		eventually(t, "the next alert arrives", func() bool { return len(rc.got()) == int(epoch)+1 })
	}
	if took := time.Since(began); took > jsonpost.Timeout {
		t.Errorf("took %s, as if it had waited for the target that hangs", took)
	}
	if names, err := s.Outbox(namespace).Open(t.Context()); err != nil || len(names) != 5 {
		t.Errorf("open: %q, %v", names, err)
	}
}

func TestFailuresThatPassAreRetriedWithBackOff(t *testing.T) {
	t.Parallel()
	var attempts []time.Time
	rc := newReceiver(t, func(*http.Request, message) int {
		if attempts = append(attempts, time.Now()); len(attempts) < 6 {
			return []int{http.StatusInternalServerError, http.StatusTooManyRequests, http.StatusRequestTimeout, http.StatusServiceUnavailable}[len(attempts)%4]
		}
		return 0
	})
	var mu sync.Mutex
	results := map[Result]int{}
	log, text := logger()
	open := inMemory()
	raise(t, open(t), OfVerdict(rejection(1)))
	stop := start(t, dispatcher(t, open(t), Options{Log: log, OnDelivery: func(target string, kind Kind, r Result) {
		mu.Lock()
		defer mu.Unlock()
		if target == "hook" && kind == Rejected {
			results[r]++
		}
	}, retry: retryTimes{first: 20 * time.Millisecond, longest: time.Second, refused: time.Hour}}, rc.target(t, "hook")))
	eventually(t, "it arrives", func() bool { return len(rc.got()) == 1 })
	stop()
	if fmt.Sprint(results) != fmt.Sprint(map[Result]int{Delivered: 1, Failed: 5}) {
		t.Errorf("results %v", results)
	}
	if first, last := attempts[1].Sub(attempts[0]), attempts[5].Sub(attempts[4]); first < 10*time.Millisecond || last < 160*time.Millisecond {
		t.Errorf("the first pause was %s, the last %s", first, last)
	}
	if !strings.Contains(text.String(), `"level":"warn"`) || !strings.Contains(text.String(), "answered 503 Service Unavailable") {
		t.Errorf("log:\n%s", text)
	}
}

func TestRefusalsAreLoudAndRetriedSlowly(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	attempts := map[string]int{}
	var mended atomic.Bool
	rc := newReceiver(t, func(_ *http.Request, m message) int {
		mu.Lock()
		defer mu.Unlock()
		attempts[m.Incident]++
		if m.Epoch == 2 && !mended.Load() {
			return http.StatusBadRequest
		}
		return 0
	})
	log, text := logger()
	open := inMemory()
	var refusals atomic.Int64
	for epoch := range uint64(5) {
		raise(t, open(t), OfVerdict(rejection(epoch)))
	}
	o := Options{Log: log, OnDelivery: func(_ string, _ Kind, r Result) {
		if r == Refused {
			refusals.Add(1)
		}
	}}
	o.retry = quick
	o.retry.refused = time.Second
	start(t, dispatcher(t, open(t), o, rc.target(t, "hook")))
	eventually(t, "the others arrive", func() bool { return len(rc.got()) == 4 })
	eventually(t, "it is said", func() bool {
		return strings.Contains(text.String(), `"level":"error","namespace":"`+namespace+`","target":"hook"`) &&
			strings.Contains(text.String(), "answered 400 Bad Request") && refusals.Load() > 0
	})
	mended.Store(true)
	eventually(t, "it arrives in the end", func() bool { return len(rc.got()) == 5 })
	mu.Lock()
	defer mu.Unlock()
	for incident, n := range attempts {
		if incident != incidentOf(Rejected, 2) && n != 1 {
			t.Errorf("%s was sent %d times", incident, n)
		}
	}
}

func TestATargetThatRefusesEverythingIsLeftAlone(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]int64{http.StatusBadRequest: refusalsToPause, http.StatusForbidden: 1} {
		var attempts atomic.Int64
		rc := newReceiver(t, func(*http.Request, message) int {
			attempts.Add(1)
			return code
		})
		open := inMemory()
		for epoch := range uint64(50) {
			raise(t, open(t), OfVerdict(rejection(epoch)))
		}
		d := dispatcher(t, open(t), Options{}, rc.target(t, "hook"))
		if err := d.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), http.StatusText(code)) || attempts.Load() != want {
			t.Errorf("%d attempts, want %d, %v", attempts.Load(), want, err)
		}
	}
}

// A dispatcher told to stop while it sends finishes, so that nobody sends the same again.
func TestShutdownFinishesWhatIsBeingSent(t *testing.T) {
	t.Parallel()
	arrived, answer := make(chan struct{}), make(chan struct{})
	rc := newReceiver(t, func(*http.Request, message) int {
		close(arrived)
		<-answer
		return 0
	})
	open := inMemory()
	raise(t, open(t), OfVerdict(rejection(1)))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- dispatcher(t, open(t), Options{}, rc.target(t, "hook")).Run(ctx) }()
	<-arrived
	cancel()
	close(answer)
	must(t, <-done)
	must(t, dispatcher(t, open(t), Options{}, rc.target(t, "hook")).Flush(t.Context()))
	rc.want(t, "firing rejected/000000000001")
}

func TestRetryAfterIsKept(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	t.Cleanup(server.Close)
	target, err := posting("hook", server.URL)
	must(t, err)
	open := inMemory()
	raise(t, open(t), OfVerdict(rejection(1)))
	d := dispatcher(t, open(t), Options{}, target)
	if err := d.Flush(t.Context()); err == nil {
		t.Error("no error")
	}
	if left := time.Until(d.namespaces[0].senders[1].next); left < time.Minute || left > 2*time.Minute {
		t.Errorf("the next attempt is in %s, want two minutes", left)
	}
}
