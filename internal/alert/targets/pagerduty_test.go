package targets

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
)

// pagerDutyServer is a receiver that does with events what PagerDuty does.
type pagerDutyServer struct {
	mu     sync.Mutex
	events []pagerDutyEvent
	open   map[string]bool // by dedup_key
}

func newPagerDutyServer(t *testing.T) (*pagerDutyServer, alert.Target) {
	p := &pagerDutyServer{open: map[string]bool{}}
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var e pagerDutyEvent
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil || e.RoutingKey != "R0UT1NG-KEY" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.events = append(p.events, e)
		p.open[e.DedupKey] = e.Action == "trigger"
		w.WriteHeader(http.StatusAccepted)
	})
	return p, makeTarget(t, "pagerduty", Settings{URL: address, Secret: []byte("R0UT1NG-KEY"), Runbook: "https://wiki.example.org/kt"})
}

func (p *pagerDutyServer) openIncidents() (open int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, is := range p.open {
		if is {
			open++
		}
	}
	return open
}

// Conditions are one incident each, and end apart; facts of one cause are one. To send the same
// again changes nothing.
func TestPagerDutyIncidents(t *testing.T) {
	t.Parallel()
	p, target := newPagerDutyServer(t)
	send := func(want int, alerts ...alert.Alert) {
		t.Helper()
		must(t, target.Send(t.Context(), alerts))
		if got := p.openIncidents(); got != want {
			t.Errorf("%d incidents are open, want %d", got, want)
		}
	}
	other := filled(alert.OfSilent(namespace, 9, began))
	send(1, rejected)
	send(1, rejected)
	send(3, silent, other)
	send(2, resolved(silent, began.Add(time.Hour)))
	send(1, resolved(other, began.Add(time.Hour)), resolved(silent, began.Add(time.Hour)))
}

func TestPagerDutyEvent(t *testing.T) {
	t.Parallel()
	p, target := newPagerDutyServer(t)
	a := rejected
	a.Summary = strings.Repeat("ä", 3000)
	must(t, target.Send(t.Context(), []alert.Alert{a}))
	e := p.events[0]
	if e.Action != "trigger" || len(e.DedupKey) > 255 || e.Payload.Severity != "critical" || e.Payload.Source != namespace ||
		e.Payload.Class != "rejected" || len(e.Payload.Summary) > 1024 || !e.Payload.Timestamp.Equal(began) || e.Links[0].Href != "https://wiki.example.org/kt#rejected" ||
		!strings.Contains(e.Payload.Details["text"], "ktaudit incidents show rejected/000000000012") {
		t.Errorf("%+v, %+v", e, e.Payload)
	}
	must(t, target.Send(t.Context(), []alert.Alert{silent}))
	if got := p.events[1].Payload.Severity; got != "warning" {
		t.Errorf("severity %s", got)
	}
}

// More conditions than PagerDuty takes in a minute are taken in the end, each once.
func TestPagerDutyRateLimit(t *testing.T) {
	t.Parallel()
	const limit, conditions = 7, 20
	var left atomic.Int64
	events := map[string]int{}
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if left.Add(-1) < 0 {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		var e pagerDutyEvent
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
			t.Error(err)
		}
		events[e.DedupKey]++
		w.WriteHeader(http.StatusAccepted)
	})
	target := makeTarget(t, "pagerduty", Settings{URL: address, Secret: secret})
	var alerts []alert.Alert
	for epoch := range uint64(conditions) {
		alerts = append(alerts, filled(alert.OfSilent(namespace, epoch, began)))
	}
	for minute := range 3 {
		left.Store(limit)
		if err := target.Send(t.Context(), alerts); (err == nil) != (minute == 2) {
			t.Errorf("minute %d: %v", minute, err)
		}
	}
	if len(events) != conditions {
		t.Errorf("%d conditions arrived, want %d", len(events), conditions)
	}
	for key, n := range events {
		if n != 1 {
			t.Errorf("%s came %d times", key, n)
		}
	}
}
