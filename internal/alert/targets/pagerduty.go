package targets

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/alert/message"
	"github.com/ktaudit/ktaudit/internal/jsonpost"
	"github.com/ktaudit/ktaudit/internal/text"
)

const (
	// PagerDutyURL takes events, version 2. That of the European region is another.
	PagerDutyURL = "https://events.pagerduty.com/v2/enqueue"
	// pagerDutySummary is the longest summary that PagerDuty takes.
	pagerDutySummary = 1024
)

// newPagerDuty makes a target of an integration of PagerDuty's Events API v2. The secret is its
// routing key.
//
// Facts of one cause make one incident there. Each condition makes one of its own, which its end
// resolves: conditions that began together may end apart.
func newPagerDuty(s Settings) (alert.Target, error) {
	u, err := jsonpost.ParseAddress(s.URL)
	if err != nil {
		return alert.Target{}, err
	}
	routingKey := string(s.Secret)
	if routingKey == "" {
		return alert.Target{}, errors.New("the routing key is missing: copy the integration key of an Events API v2 integration")
	}
	name, err := nameOrDefault(s.Name, "pagerduty", withoutUser(u)) // of the key nothing: it may be replaced
	if err != nil {
		return alert.Target{}, err
	}
	p, err := s.poster(u, routingKey)
	if err != nil {
		return alert.Target{}, err
	}
	d := pagerDuty{routingKey: routingKey, runbook: s.Runbook, poster: p, accepted: map[string]bool{}}
	return alert.Target{Name: name, QuietEnds: true, Send: d.send}, nil
}

type pagerDuty struct {
	routingKey, runbook string
	poster              jsonpost.Poster

	mu sync.Mutex // held while events are sent
	// accepted are the events of a delivery that has not succeeded yet. Of many conditions
	// PagerDuty takes no more than some in a minute: the next attempt goes on where this one ended.
	// An ID never comes again for anything else: an incident is raised once, and ends once.
	accepted map[string]bool
}

func (d *pagerDuty) send(ctx context.Context, alerts []alert.Alert) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range pagerDutyMessages(alerts, d.runbook) {
		if d.accepted[m.ID] {
			continue
		}
		body, err := json.Marshal(pagerDutyEventOf(m, d.routingKey))
		if err != nil {
			return &jsonpost.Refusal{Err: err}
		}
		if err := d.poster.Post(ctx, body, nil); err != nil {
			return err
		}
		d.accepted[m.ID] = true
	}
	clear(d.accepted)
	return nil
}

// pagerDutyMessages are the messages of a delivery, each of which is an event.
func pagerDutyMessages(alerts []alert.Alert, runbook string) []message.Message {
	if !alerts[0].Kind.Ends() {
		return []message.Message{message.Of(alerts, runbook)}
	}
	var all []message.Message
	for _, a := range alerts {
		all = append(all, message.Of([]alert.Alert{a}, runbook))
	}
	return all
}

type pagerDutyEvent struct {
	RoutingKey string            `json:"routing_key"`
	Action     string            `json:"event_action"`
	DedupKey   string            `json:"dedup_key"`
	Payload    *pagerDutyPayload `json:"payload,omitempty"`
	Client     string            `json:"client,omitempty"`
	Links      []pagerDutyLink   `json:"links,omitempty"`
}

type pagerDutyPayload struct {
	Summary   string            `json:"summary"`
	Source    string            `json:"source"`
	Severity  string            `json:"severity"`
	Timestamp time.Time         `json:"timestamp"`
	Component string            `json:"component"`
	Group     string            `json:"group"`
	Class     string            `json:"class"`
	Details   map[string]string `json:"custom_details"`
}

type pagerDutyLink struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

func pagerDutyEventOf(m message.Message, routingKey string) pagerDutyEvent {
	e := pagerDutyEvent{RoutingKey: routingKey, Action: "trigger", DedupKey: m.ID}
	if first := m.Alerts[0]; first.Kind.Ends() { // the end has an ID of its own
		e.DedupKey = fmt.Sprintf("%s-%.16x", first.Kind, sha256.Sum256([]byte(first.Namespace+"\n"+first.Incident)))
	}
	if m.Status == message.Resolved {
		e.Action = "resolve"
		return e
	}
	e.Client = "ktaudit"
	e.Payload = &pagerDutyPayload{
		Summary: text.Clean(m.Title+": "+m.Summary, pagerDutySummary), Source: m.Namespace, Severity: string(m.Severity),
		Timestamp: m.Since, Component: "ktaudit", Group: m.Namespace, Class: string(m.Kind),
		Details: map[string]string{"incident": m.Alerts[0].Incident, "text": m.Text()},
	}
	if m.RunbookURL != "" {
		e.Links = []pagerDutyLink{{m.RunbookURL, "Runbook"}}
	}
	return e
}
