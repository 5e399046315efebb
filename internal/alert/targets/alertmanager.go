package targets

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/jsonpost"
)

// repeatEvery is how often Alertmanager is sent again what is open: it keeps alerts in memory only,
// and answers before it has notified anyone. The same alert sent twice changes nothing there, so
// every dispatcher repeats, without a claim.
const repeatEvery = time.Minute

// NewAlertmanager makes a target of a Prometheus Alertmanager, by the second version of its API.
// The URL is the one of its web page, with user and password if it wants them. Name may be empty.
//
// The labels, which identify an alert there, are alertname, namespace, severity, incident, epoch
// and reason. An alert is active until its endsAt, which is far enough ahead that nothing looks
// resolved because ktaudit is down: a week after a fact was found, or a week after a condition was
// last seen. When a condition ends, endsAt is when it did.
func NewAlertmanager(name, address string) (alert.Target, error) {
	u, err := parseAddress("alertmanager", address)
	if err != nil {
		return alert.Target{}, err
	}
	u = u.JoinPath("api/v2/alerts")
	identity := *u
	identity.User = nil
	if name, err = nameOrDefault(name, "alertmanager", identity.String()); err != nil {
		return alert.Target{}, err
	}
	p := jsonpost.New(u)
	return alert.Target{Name: name, Batch: 100, Mixed: true, Repeat: repeatEvery, Send: func(ctx context.Context, alerts []alert.Alert) error {
		body, err := alertmanagerBody(alerts, time.Now())
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

func alertmanagerBody(alerts []alert.Alert, now time.Time) ([]byte, error) {
	all := make([]alertmanagerAlert, len(alerts))
	for i, a := range alerts {
		all[i] = alertmanagerAlert{
			Labels: withoutEmpty(map[string]string{
				"alertname": a.Kind.AlertName(), "namespace": a.Namespace, "severity": string(a.Severity),
				"incident": a.Incident, "epoch": strconv.FormatUint(a.Epoch, 10), "reason": a.Reason,
			}),
			Annotations: withoutEmpty(map[string]string{"summary": a.Summary, "description": description(a)}),
			StartsAt:    a.At,
			EndsAt:      endsAt(a, now),
		}
	}
	return json.Marshal(all)
}

// description is the detail, and how to learn more.
func description(a alert.Alert) string {
	command := explainCommand(a)
	if command != "" {
		command = "What it means: " + command
	}
	return strings.TrimSpace(a.Detail + "\n" + command)
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
