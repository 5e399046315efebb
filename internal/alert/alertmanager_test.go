package alert

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/testservers"
)

// pager receives the notifications of a real Alertmanager, and keeps the states of each incident.
type pager struct {
	*httptest.Server
	mu     sync.Mutex
	states map[string][]string
	labels map[string]map[string]string
}

func newPager(t *testing.T) *pager {
	p := &pager{states: map[string][]string{}, labels: map[string]map[string]string{}}
	p.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m struct {
			Alerts []struct {
				Status              string
				Labels, Annotations map[string]string
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, a := range m.Alerts {
			incident := a.Labels["incident"]
			p.states[incident] = append(p.states[incident], a.Status)
			p.labels[incident] = a.Labels
			if a.Annotations["summary"] == "" {
				t.Errorf("%s has no summary", incident)
			}
		}
	}))
	t.Cleanup(p.Close)
	return p
}

// last is the last state of an incident, and whether it ever was in another.
func (p *pager) last(incident string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	states := p.states[incident]
	if len(states) == 0 {
		return ""
	}
	return states[len(states)-1]
}

// active returns the alerts that are active in an Alertmanager, by incident.
func active(t *testing.T, s *testservers.AlertmanagerServer) map[string]bool {
	t.Helper()
	response, err := http.Get(s.URL() + "/api/v2/alerts?active=true")
	must(t, err)
	defer response.Body.Close()
	var alerts []struct{ Labels map[string]string }
	must(t, json.NewDecoder(response.Body).Decode(&alerts))
	all := map[string]bool{}
	for _, a := range alerts {
		all[a.Labels["incident"]] = true
	}
	return all
}

func TestRealAlertmanagerNotifiesPeople(t *testing.T) {
	t.Parallel()
	p := newPager(t)
	server := testservers.Alertmanager(t, p.URL)
	target, err := NewAlertmanager("", server.URL())
	must(t, err)
	target.repeat = 200 * time.Millisecond
	open := inMemory()
	s := open(t)
	for range 2 { // two replicas, which both repeat
		start(t, dispatcher(t, open(t), Options{}, target))
	}
	since := time.Now().Add(-time.Hour)
	raise(t, s, OfVerdict(rejection(12)), OfSilent(namespace, 11, since))
	fact, condition := incidentOf(Rejected, 12), SilentIncident(11)
	for _, incident := range []string{fact, condition} {
		eventually(t, incident+" fires", func() bool { return p.last(incident) == "firing" })
	}
	labels := p.labels[fact]
	for name, want := range map[string]string{"alertname": "KtauditEpochRejected", "namespace": namespace, "severity": "critical",
		"epoch": "12", "reason": "digest_mismatch"} {
		if labels[name] != want {
			t.Errorf("label %s is %q, want %q", name, labels[name], want)
		}
	}

	must(t, Outbox{s}.Resolve(t.Context(), namespace, condition, time.Now()))
	eventually(t, "the condition is resolved", func() bool { return p.last(condition) == "resolved" })

	server.Kill() // upon which it has forgotten everything
	must(t, server.Start())
	eventually(t, "the fact is active again", func() bool { return active(t, server)[fact] })
	if active(t, server)[condition] || p.last(fact) != "firing" || p.last(condition) != "resolved" {
		t.Errorf("active: %v, notified: %v", active(t, server), p.states)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.states[condition]) != 2 {
		t.Errorf("the condition was notified as %q", p.states[condition])
	}
	t.Logf("notified: %v", p.states)
}

// Once its end was sent, a condition is not repeated: Alertmanager would take it for a new one.
func TestAConditionIsNotRepeatedAfterItsEnd(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var states []string
	address := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		var alerts []alertmanagerAlert
		if err := json.NewDecoder(r.Body).Decode(&alerts); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, a := range alerts {
			state := "firing"
			if a.EndsAt.Before(time.Now()) {
				state = "resolved"
			}
			if states = append(states, state); len(states) > 1 && states[len(states)-2] == state {
				states = states[:len(states)-1]
			}
		}
	})
	target, err := NewAlertmanager("", address)
	must(t, err)
	target.repeat = time.Nanosecond
	open := inMemory()
	d := dispatcher(t, open(t), Options{}, target)
	raise(t, open(t), OfSilent(namespace, 5, began))
	must(t, d.Flush(t.Context()))
	must(t, Outbox{open(t)}.Resolve(t.Context(), namespace, SilentIncident(5), time.Now()))
	for range 3 {
		must(t, d.Flush(t.Context()))
	}
	if !slices.Equal(states, []string{"firing", "resolved"}) {
		t.Errorf("sent: %q", states)
	}
}

// What is repeated is let go in the end, so that the open notices stay few.
func TestFactsAreHeldForAWeek(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	posts := 0
	address := serve(t, func(http.ResponseWriter, *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		posts++
	})
	target, err := NewAlertmanager("", address)
	must(t, err)
	target.repeat = time.Nanosecond
	open := inMemory()
	old, fresh := OfVerdict(rejection(1)), OfVerdict(rejection(2))
	old.At = time.Now().Add(-factActiveFor)
	raise(t, open(t), old, fresh, OfSilent(namespace, 5, began), OfSilent(namespace, 7, began))
	box := Outbox{open(t)}
	must(t, box.Resolve(t.Context(), namespace, SilentIncident(5), time.Now().Add(-repeatEndFor)))
	must(t, box.Resolve(t.Context(), namespace, SilentIncident(7), time.Now()))
	d := dispatcher(t, open(t), Options{}, target)
	for n := range 3 {
		must(t, d.Flush(t.Context()))
		mu.Lock()
		if posts <= n {
			t.Errorf("%d posts after %d rounds", posts, n+1)
		}
		mu.Unlock()
	}
	wantOpen(t, open(t), "1-rejected.000000000002", "3-silent.000000000007")
}

func TestAFloodIsNotHeld(t *testing.T) {
	t.Parallel()
	address := serve(t, func(http.ResponseWriter, *http.Request) {})
	target, err := NewAlertmanager("", address)
	must(t, err)
	open := inMemory()
	const extra = 5
	for epoch := range uint64(maxRepeated + extra) {
		raise(t, open(t), OfVerdict(rejection(epoch)))
	}
	must(t, dispatcher(t, open(t), Options{}, target).Flush(t.Context()))
	names, err := open(t).Outbox(namespace).Open(t.Context())
	if err != nil || len(names) != maxRepeated {
		t.Errorf("%d are open, %v, want %d", len(names), err, maxRepeated)
	}
}
