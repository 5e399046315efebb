package message

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/explain"
	"github.com/ktaudit/ktaudit/internal/text"
)

// The statuses of a message, in the words of Alertmanager.
const (
	Firing   = "firing"
	Resolved = "resolved"
)

// Message is about one alert, or about several of one cause. All texts are bounded, and lines of
// them do nothing to a terminal; a target escapes what its own markup knows.
type Message struct {
	// ID is the same whenever the same alerts are told of, and for no others: a receiver recognises
	// by it what comes twice.
	ID        string
	Namespace string
	Kind      alert.Kind
	Reason    string // may be empty
	Title     string // a headline
	Summary   string // a line: what happened
	Severity  alert.Severity
	Status    string // Firing or Resolved
	Since     time.Time
	Until     time.Time // when the last of the conditions ended; zero while Firing
	Detail    string    // what else is known, of several alerts the first's; may be empty
	Meaning   string    // a paragraph; empty for a word that this version does not know
	Evidence  string    // where it is in the audit store; empty if there is none
	Commands  []string  // what to run, the next one first
	// RunbookURL is where the runbook tells of the kind; empty without a runbook.
	RunbookURL string
	// Alerts are those that the message is about: one, or several that are all of one namespace,
	// kind, reason and status.
	Alerts []alert.Alert
}

// The longest texts, in bytes.
const (
	maxSummary = 400
	maxDetail  = 2 << 10
)

// Of makes a message about alerts of one cause, of which there is at least one. The runbook is the
// base URL of the operator's, to which a kind's name is added as the fragment, or empty.
func Of(alerts []alert.Alert, runbook string) Message {
	first := alerts[0]
	m := Message{
		ID: first.Incident, Namespace: first.Namespace, Kind: first.Kind, Reason: first.Reason,
		Title: first.Title(), Summary: text.Clean(first.Summary, maxSummary), Severity: first.Severity,
		Status: first.Status(), Since: first.At, Until: first.ResolvedAt,
		Detail: text.CleanLines(first.Detail, maxDetail), Alerts: alerts,
	}
	for _, a := range alerts[1:] {
		if a.At.Before(m.Since) {
			m.Since = a.At
		}
		if a.ResolvedAt.After(m.Until) {
			m.Until = a.ResolvedAt
		}
	}
	if n := len(alerts); n > 1 {
		m.Summary = fmt.Sprintf("%d alerts, the first: %s", n, m.Summary)
	}
	if explained, ok := explain.Of(first.ExplainWord()); ok {
		m.Meaning = explained.Means
		m.Commands = append(m.Commands, "ktaudit explain "+explained.Word)
	}
	if runbook != "" {
		m.RunbookURL = strings.TrimSuffix(runbook, "#") + "#" + string(first.Kind)
	}
	return m
}

// Text is the message as plain text, without a headline of its own: for e-mail, and for whatever
// has no markup.
func (m Message) Text() string {
	lines := []string{m.Summary, ""}
	add := func(name, value string) {
		if value != "" {
			lines = append(lines, fmt.Sprintf("%-10s %s", name+":", value))
		}
	}
	add("Log", m.Namespace)
	add("Severity", string(m.Severity))
	add("Since", stamp(m.Since))
	if !m.Until.IsZero() {
		add("Until", stamp(m.Until))
	}
	add("Incident", m.Alerts[0].Incident)
	add("Evidence", m.Evidence)
	add("Runbook", m.RunbookURL)
	if m.Detail != "" {
		lines = append(lines, "", m.Detail)
	}
	if m.Meaning != "" {
		lines = append(lines, "", "What it means:", m.Meaning)
	}
	if len(m.Commands) > 0 {
		lines = append(lines, "", "Next:")
		lines = slices.Concat(lines, indented(m.Commands))
	}
	return strings.Join(lines, "\n") + "\n"
}

func indented(commands []string) []string {
	lines := make([]string, len(commands))
	for i, c := range commands {
		lines[i] = "  " + c
	}
	return lines
}

func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339) }
