package targets

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"gocloud.dev/blob/memblob"
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
	target := makeTarget(t, "alertmanager", Settings{URL: server.URL()})
	target.Repeat = 200 * time.Millisecond
	s := auditstore.New(memblob.OpenBucket(nil))
	for range 2 { // two replicas, which both repeat
		start(t, dispatcher(t, s, target))
	}
	since := time.Now().Add(-time.Hour)
	raise(t, s, alert.OfVerdict(rejection(12)), alert.OfSilent(namespace, 11, since))
	fact, condition := "rejected/000000000012", alert.SilentIncident(11)
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

	must(t, alert.Outbox{Store: s}.Resolve(t.Context(), namespace, condition, time.Now()))
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

func TestAlertmanagerMessage(t *testing.T) {
	t.Parallel()
	now := began.Add(time.Minute)
	late := now.Add(30 * 24 * time.Hour)
	for name, c := range map[string]struct {
		alert alert.Alert
		now   time.Time
		ends  time.Time
	}{
		"fact":           {rejected, now, began.Add(alert.FactActiveFor)},
		"late fact":      {rejected, late, late.Add(time.Hour)},
		"condition":      {silent, now, now.Add(alert.FactActiveFor)},
		"resolved":       {resolved(silent, now), late, now},
		"late condition": {silent, late, late.Add(alert.FactActiveFor)},
	} {
		body, err := alertmanagerBody([]alert.Alert{c.alert}, "", c.now)
		must(t, err)
		var got []alertmanagerAlert
		must(t, json.Unmarshal(body, &got))
		if !got[0].StartsAt.Equal(c.alert.At) || !got[0].EndsAt.Equal(c.ends) {
			t.Errorf("%s: from %s to %s, want to %s", name, got[0].StartsAt, got[0].EndsAt, c.ends)
		}
	}
	body, err := alertmanagerBody([]alert.Alert{rejected, silent}, "https://wiki.example.org/kt", now)
	must(t, err)
	var got []alertmanagerAlert
	must(t, json.Unmarshal(body, &got))
	for i, want := range []map[string]string{
		{"alertname": "KtauditEpochRejected", "epoch": "12", "incident": "rejected/000000000012", "namespace": namespace,
			"reason": "digest_mismatch", "severity": "critical"},
		{"alertname": "KtauditLogSilent", "epoch": "5", "incident": "silent/000000000005", "namespace": namespace, "severity": "warning"},
	} {
		if !maps.Equal(got[i].Labels, want) {
			t.Errorf("labels %v, want %v", got[i].Labels, want)
		}
	}
	if a := got[0].Annotations; a["summary"] != rejected.Summary || a["runbook_url"] != "https://wiki.example.org/kt#rejected" ||
		!strings.HasPrefix(a["description"], "the end digest is another\n") {
		t.Errorf("annotations %q", a)
	}
}
