package alert

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
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
		if m := rc.accepted[0]; m.Namespace != namespace || m.Epoch != 3 || m.Severity != Critical ||
			m.Reason != "digest_mismatch" || m.Detail == "" || m.At.IsZero() {
			t.Errorf("received %+v", m)
		}
	})
}

func TestEndOfAConditionIsNotSentBeforeTheCondition(t *testing.T) {
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
		"twice the same":     {rc.target(t, "hook"), rc.target(t, "hook")},
		"as the log":         {rc.target(t, LogName)},
		"not by constructor": {{}},
	} {
		if _, err := NewDispatcher(Options{Store: auditstore.New(nil), Targets: targets}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
