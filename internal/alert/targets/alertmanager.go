package targets

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/alert/message"
	"github.com/ktaudit/ktaudit/internal/jsonpost"
)

// repeatEvery is how often Alertmanager is sent again what is open: it keeps alerts in memory only,
// and answers before it has notified anyone. The same alert sent twice changes nothing there, so
// every dispatcher repeats, without a claim.
const repeatEvery = time.Minute

// newAlertmanager makes a target of a Prometheus Alertmanager, by the second version of its API.
// The URL is the one of its web page, with user and password if it wants them.
//
// The labels, which identify an alert there, are alertname, namespace, severity, incident, epoch
// and reason. An alert is active until its endsAt, which is far enough ahead that nothing looks
// resolved because ktaudit is down: a week after a fact was found, or a week after a condition was
// last seen. When a condition ends, endsAt is when it did.
func newAlertmanager(s Settings) (alert.Target, error) {
	u, err := jsonpost.ParseAddress(s.URL)
	if err != nil {
		return alert.Target{}, err
	}
	u = u.JoinPath("api/v2/alerts")
	name, err := nameOrDefault(s.Name, "alertmanager", withoutUser(u))
	if err != nil {
		return alert.Target{}, err
	}
	p, err := s.poster(u)
	if err != nil {
		return alert.Target{}, err
	}
	return alert.Target{Name: name, Batch: 100, Mixed: true, Repeat: repeatEvery, Send: func(ctx context.Context, alerts []alert.Alert) error {
		body, err := alertmanagerBody(alerts, s.Runbook, time.Now())
		if err != nil {
			return &jsonpost.Refusal{Err: err}
		}
		return p.Post(ctx, body, nil)
	}}, nil
}

type alertmanagerAlert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
}

func alertmanagerBody(alerts []alert.Alert, runbook string, now time.Time) ([]byte, error) {
	all := make([]alertmanagerAlert, len(alerts))
	for i, a := range alerts {
		all[i] = alertmanagerAlert{
			Labels: withoutEmpty(map[string]string{
				"alertname": a.Kind.AlertName(), "namespace": a.Namespace, "severity": string(a.Severity),
				"incident": a.Incident, "epoch": strconv.FormatUint(a.Epoch, 10), "reason": a.Reason,
			}),
			Annotations: annotations(message.Of([]alert.Alert{a}, runbook)),
			StartsAt:    a.At,
			EndsAt:      endsAt(a, now),
		}
	}
	return json.Marshal(all)
}

// annotations are what people read; those of the first and the last name are what Prometheus'
// templates look for.
func annotations(m message.Message) map[string]string {
	parts := []string{m.Detail, m.Meaning, m.HowBad, m.Actions}
	if len(m.Commands) > 0 {
		parts = append(parts, "Next: "+strings.Join(m.Commands, "; "))
	}
	parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
	return withoutEmpty(map[string]string{
		"summary": m.Summary, "description": strings.Join(parts, "\n"), "evidence": m.Evidence, "runbook_url": m.RunbookURL,
	})
}

func endsAt(a alert.Alert, now time.Time) time.Time {
	switch {
	case a.Resolved():
		return a.ResolvedAt
	case a.Kind.Ends():
		return now.Add(alert.FactActiveFor)
	}
	// A fact that is sent late is still active for a while, and never ends before it began.
	end := a.At.Add(alert.FactActiveFor)
	if soonest := now.Add(time.Hour); end.Before(soonest) {
		end = soonest
	}
	return end
}

func withoutEmpty(m map[string]string) map[string]string {
	for k, v := range m {
		if v == "" {
			delete(m, k)
		}
	}
	return m
}
