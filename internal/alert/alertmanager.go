package alert

import (
	"context"
	"encoding/json"
	"strconv"
	"time"
)

const (
	// repeatEvery is how often Alertmanager is told again of what lasts: it keeps alerts in memory only, and has not told anyone
	// when it answers. To send the same alert twice changes nothing there, so every dispatcher repeats, without a claim.
	repeatEvery = time.Minute
	// holdFact is how long a fact, which never ends by itself, stays active in Alertmanager. While it does, Alertmanager reminds
	// people in its own rhythm, and one who has seen it silences it there.
	holdFact = 7 * 24 * time.Hour
	// holdResolved is how long the end of a condition is repeated, in case a late repetition of the condition overtakes it.
	holdResolved = 15 * time.Minute
)

// NewAlertmanager is a Prometheus Alertmanager, by the second version of its API. The URL is the one it is browsed at, with user
// and password if it wants any. Name may be empty.
//
// Labels, which identify an alert there, are alertname, namespace, severity, incident, epoch and reason. An alert is active until
// its endsAt, which is set far enough ahead that nothing looks solved because ktaudit is away: a week after a fact was found, a
// week after a condition was last seen. When a condition ends, endsAt is when it did.
func NewAlertmanager(name, address string) (Target, error) {
	u, err := parseAddress("alertmanager", address)
	if err != nil {
		return Target{}, err
	}
	u = u.JoinPath("api/v2/alerts")
	identity := *u
	identity.User = nil
	if name, err = named(name, "alertmanager", identity.String()); err != nil {
		return Target{}, err
	}
	p := newPoster(u)
	return Target{name: name, batch: 100, repeat: repeatEvery, send: func(ctx context.Context, alerts []Alert) error {
		body, err := alertmanagerBody(alerts, time.Now())
		if err != nil {
			return &refusal{err}
		}
		return p.post(ctx, body, nil)
	}}, nil
}

type alertmanagerAlert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
}

func alertmanagerBody(alerts []Alert, now time.Time) ([]byte, error) {
	all := make([]alertmanagerAlert, len(alerts))
	for i, a := range alerts {
		all[i] = alertmanagerAlert{
			Labels: withoutEmpty(map[string]string{
				"alertname": kinds[a.Kind].name, "namespace": a.Namespace, "severity": string(a.Severity),
				"incident": a.Incident, "epoch": strconv.FormatUint(a.Epoch, 10), "reason": a.Reason,
			}),
			Annotations: withoutEmpty(map[string]string{"summary": a.Summary, "description": a.Detail}),
			StartsAt:    a.At,
			EndsAt:      endsAt(a, now),
		}
	}
	return json.Marshal(all)
}

func endsAt(a Alert, now time.Time) time.Time {
	switch {
	case a.Resolved():
		return a.ResolvedAt
	case a.Kind.Ends():
		return now.Add(holdFact)
	}
	// One that arrives late is active for a while all the same, and never ends before it began.
	end := a.At.Add(holdFact)
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
