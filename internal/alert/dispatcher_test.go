package alert

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore"
	"gocloud.dev/blob/memblob"
)

var began = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

func TestAlertsAreSentInOrderOfSeverityAndOnce(t *testing.T) {
	onEachStore(t, func(t *testing.T, open opener) {
		rc := newReceiver(t, nil)
		s := open(t)
		raise(t, s, OfBacklog(namespace, 7, began), OfVerdict(rejection(12)), OfSilent(namespace, 5, began), OfVerdict(rejection(3)))
		raise(t, open(t), OfVerdict(rejection(12))) // another worker's retry
		for range 3 {
			must(t, dispatcher(t, open(t), Options{}, rc.target(t, "hook")).Flush(t.Context()))
			raise(t, open(t), OfVerdict(rejection(12)), OfSilent(namespace, 5, began))
		}
		rc.want(t, "firing rejected/000000000003", "firing rejected/000000000012", "firing backlog/000000000007", "firing silent/000000000005")
		wantOpen(t, s, "2-backlog.000000000007", "2-silent.000000000005")
		if m := rc.accepted[0]; m.Version != 1 || m.Namespace != namespace || m.Epoch != 3 || m.Severity != Critical ||
			m.Reason != "digest_mismatch" || m.Detail == "" || m.At.IsZero() {
			t.Errorf("received %+v", m)
		}
	})
}

func TestEndOfAConditionIsToldToThoseWhoWereToldOfIt(t *testing.T) {
	onEachStore(t, func(t *testing.T, open opener) {
		rc := newReceiver(t, nil)
		s := open(t)
		box := Outbox{s}
		resolve := func(incident string) {
			t.Helper()
			for range 2 {
				must(t, box.Resolve(t.Context(), namespace, incident, began.Add(time.Hour)))
			}
		}
		flush := func() {
			t.Helper()
			must(t, dispatcher(t, open(t), Options{}, rc.target(t, "hook")).Flush(t.Context()))
		}
		resolve(SilentIncident(4)) // nobody was told
		raise(t, s, OfSilent(namespace, 5, began))
		flush()
		resolve(SilentIncident(5))
		flush()
		flush()
		rc.want(t, "firing silent/000000000005", "resolved silent/000000000005")
		if m := rc.accepted[1]; !m.At.Equal(began) || !m.ResolvedAt.Equal(began.Add(time.Hour)) {
			t.Errorf("resolved: %+v", m)
		}
		wantOpen(t, s)

		raise(t, s, OfSilent(namespace, 9, began)) // another time; begun and over before anyone is told
		resolve(SilentIncident(9))
		flush()
		raise(t, s, OfSilent(namespace, 5, began)) // the first one cannot come again
		resolve(SilentIncident(5))
		flush()
		rc.want(t, "firing silent/000000000005", "resolved silent/000000000005", "firing silent/000000000009", "resolved silent/000000000009")
		flush()
		wantOpen(t, s)
	})
}

func TestEndOfAConditionIsNotToldBeforeTheCondition(t *testing.T) {
	t.Parallel()
	var mended atomic.Bool
	rc := newReceiver(t, func(_ *http.Request, m message) int {
		if m.Status == "firing" && !mended.Load() {
			return http.StatusBadRequest
		}
		return 0
	})
	open := inMemory()
	raise(t, open(t), OfSilent(namespace, 5, began))
	must(t, Outbox{open(t)}.Resolve(t.Context(), namespace, SilentIncident(5), began))
	d := dispatcher(t, open(t), Options{}, rc.target(t, "hook"))
	if err := d.Flush(t.Context()); err == nil {
		t.Error("no error")
	}
	rc.want(t)
	mended.Store(true)
	must(t, d.Flush(t.Context()))
	rc.want(t, "firing silent/000000000005", "resolved silent/000000000005")
}

func TestUnresolvedConditionsAreFoundAfterARestart(t *testing.T) {
	t.Parallel()
	open := inMemory()
	box := Outbox{open(t)}
	raise(t, open(t), OfVerdict(rejection(1)), OfSilent(namespace, 5, began), OfBacklog(namespace, 6, began), OfSkipped(namespace, 7, 8))
	must(t, box.Resolve(t.Context(), namespace, BacklogIncident(6), began))
	want := []string{SkippedIncident(7), SilentIncident(5)}
	for range 2 {
		lasting, err := box.Unresolved(t.Context(), namespace, nil)
		var got []string
		for _, a := range lasting {
			got = append(got, a.Incident)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("unresolved: %q, %v, want %q", got, err, want)
		}
		must(t, dispatcher(t, open(t), Options{}).Flush(t.Context())) // delivered or not
	}
	if err := box.Resolve(t.Context(), namespace, "rejected/000000000001", began); err == nil {
		t.Error("a rejection is resolved")
	}
}

// A notice is read once, however long its condition lasts. One that cannot be read hides no other.
func TestUnresolvedConditionsAreReadOnce(t *testing.T) {
	t.Parallel()
	bucket := memblob.OpenBucket(nil)
	store := blobstore.NewStore(bucket)
	raise(t, store, OfSkipped(namespace, 7, 8), OfSilent(namespace, 5, began))
	known := map[string]Alert{}
	want := func(corrupt bool, want ...string) {
		t.Helper()
		lasting, err := Outbox{store}.Unresolved(t.Context(), namespace, known)
		var got []string
		for _, a := range lasting {
			got = append(got, a.Incident)
		}
		if errors.Is(err, blobstore.ErrCorrupt) != corrupt || !corrupt && err != nil || !slices.Equal(got, want) {
			t.Errorf("unresolved: %q, %v, want %q", got, err, want)
		}
	}
	want(false, SkippedIncident(7), SilentIncident(5))
	key := namespace + "/alerts/open/" + noticeName(Skipped, SkippedIncident(7), false) + ".json"
	must(t, bucket.WriteAll(t.Context(), key, []byte("{"), nil))
	want(false, SkippedIncident(7), SilentIncident(5))
	clear(known)
	want(true, SilentIncident(5))
	must(t, Outbox{store}.Resolve(t.Context(), namespace, SilentIncident(5), began))
	want(true)
}

func TestTheLogHasEveryAlertOnce(t *testing.T) {
	t.Parallel()
	open := inMemory()
	log, text := logger()
	raise(t, open(t), OfVerdict(rejection(12)), OfSilent(namespace, 5, began))
	for range 2 {
		must(t, dispatcher(t, open(t), Options{Log: log}).Flush(t.Context()))
	}
	for _, want := range []string{`"level":"error"`, `"level":"warn"`, "epoch 12 of " + namespace + " was rejected: digest_mismatch"} {
		if strings.Count(text.String(), want) != 1 {
			t.Errorf("want once %s in:\n%s", want, text)
		}
	}
}

// Several dispatchers, with a target that fails now and then: every alert arrives, and none twice.
func TestDispatchersThatRaceSendEachAlertOnce(t *testing.T) {
	onEachStore(t, func(t *testing.T, open opener) {
		const alerts, dispatchers = 40, 4
		var refusals atomic.Int64
		rc := newReceiver(t, func(*http.Request, message) int {
			if rand.IntN(4) == 0 {
				refusals.Add(1)
				return http.StatusBadGateway
			}
			return 0
		})
		for range dispatchers {
			start(t, dispatcher(t, open(t), Options{}, rc.target(t, "hook")))
		}
		var want []string
		var raisers sync.WaitGroup
		for worker := range 2 {
			s := open(t)
			raisers.Go(func() {
				for epoch := range uint64(alerts) {
					if _, err := (Outbox{s}).Raise(t.Context(), OfVerdict(rejection(epoch))); err != nil {
						t.Error(worker, err)
					}
				}
			})
		}
		for epoch := range uint64(alerts) {
			want = append(want, "firing "+incidentOf(Rejected, epoch))
		}
		raisers.Wait()
		s := open(t)
		eventually(t, "all is closed", func() bool {
			names, err := s.Outbox(namespace).Open(t.Context())
			return err == nil && len(names) == 0
		})
		got := rc.got()
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("received:\n%s", strings.Join(got, "\n"))
		}
		t.Log(refusals.Load(), "requests failed")
	})
}

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
	if took := time.Since(began); took > sendTimeout {
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
	var attempts atomic.Int64
	rc := newReceiver(t, func(*http.Request, message) int {
		attempts.Add(1)
		return http.StatusForbidden
	})
	open := inMemory()
	for epoch := range uint64(50) {
		raise(t, open(t), OfVerdict(rejection(epoch)))
	}
	d := dispatcher(t, open(t), Options{}, rc.target(t, "hook"))
	if err := d.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "403 Forbidden") || attempts.Load() != refusalsToPause {
		t.Errorf("%d attempts, %v", attempts.Load(), err)
	}
}

func TestPendingAlertsAreCounted(t *testing.T) {
	t.Parallel()
	var up atomic.Bool
	rc := newReceiver(t, func(*http.Request, message) int {
		if up.Load() {
			return 0
		}
		return http.StatusInternalServerError
	})
	open := inMemory()
	var pending Pending
	d := dispatcher(t, open(t), Options{OnPass: func(_ string, p Pending) { pending = p }}, rc.target(t, "hook"))
	raise(t, open(t), OfBacklog(namespace, 1, began.Add(time.Hour)), OfSilent(namespace, 1, began), OfVerdict(rejection(2)))
	if err := d.Flush(t.Context()); err == nil || pending.Critical != 1 || pending.Warning != 2 || pending.Oldest.IsZero() {
		t.Errorf("pending: %+v, %v", pending, err)
	}
	up.Store(true)
	if err := d.Flush(t.Context()); err != nil || pending != (Pending{}) {
		t.Errorf("pending: %+v, %v", pending, err)
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

func TestAnUnreadableNoticeHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	open := inMemory()
	log, text := logger()
	box := open(t).Outbox(namespace)
	for name, notice := range map[string]string{
		"0-x": "", "1-rejected.000000000001": "{}", "1-rejected.000000000002": `{"kind":"rejected","incident":"rejected/000000000003","namespace":"` +
			namespace + `","at":"2026-11-22T08:00:00Z"}`, "1-newer.1": `{"kind":"newer","incident":"newer/1"}`,
	} {
		_, err := box.Put(t.Context(), name, []byte(notice))
		must(t, err)
	}
	raise(t, open(t), OfSilent(namespace, 5, began))
	rc := newReceiver(t, nil)
	d := dispatcher(t, open(t), Options{Log: log}, rc.target(t, "hook"))
	for range 2 {
		must(t, d.Flush(t.Context()))
	}
	rc.want(t, "firing silent/000000000005")
	if n := strings.Count(text.String(), "an alert cannot be read"); n != 4 {
		t.Errorf("%d complaints, want one for each:\n%s", n, text)
	}
}

func TestDispatcherOptionsAreChecked(t *testing.T) {
	t.Parallel()
	rc := newReceiver(t, nil)
	for name, targets := range map[string][]Target{
		"twice the same":     {rc.target(t, ""), rc.target(t, "")},
		"as the log":         {rc.target(t, LogName)},
		"not by constructor": {{}},
	} {
		if _, err := NewDispatcher(Options{Store: blobstore.NewStore(nil), Targets: targets}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
