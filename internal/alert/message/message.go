package message

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
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
	// Meaning says what it shows, HowBad whether to get up for it, Actions what to check and do: a
	// few sentences each. They are empty for a kind that this version does not know.
	Meaning, HowBad, Actions string
	Evidence                 string   // where it is in the audit store; empty if there is none
	Commands                 []string // what to run, the next one first
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

// configFile stands in commands for the configuration file, of which an alert knows nothing.
const configFile = "ktaudit.yaml"

// Of makes a message about alerts of one cause, of which there is at least one. The runbook is the
// base URL of the operator's, to which a kind's name is added as the fragment, or empty.
func Of(alerts []alert.Alert, runbook string) Message {
	first := alerts[0]
	m := Message{
		ID: idOf(alerts), Namespace: first.Namespace, Kind: first.Kind, Reason: first.Reason,
		Title: first.Title(), Summary: text.Clean(first.Summary, maxSummary), Severity: first.Severity,
		Status: first.Status(), Since: first.At, Until: first.ResolvedAt,
		Detail: text.CleanLines(first.Detail, maxDetail), Evidence: evidence(alerts), Alerts: alerts,
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
		m.Title = fmt.Sprintf("%s (%d)", m.Title, n)
		m.Summary = text.Clean(alert.Summary(alerts), maxSummary)
		m.Detail = text.CleanLines("the first: "+first.Summary+"\n"+first.Detail, maxDetail)
	}
	explained, ok := explain.Of(first.ExplainWord())
	if ok {
		m.Meaning, m.HowBad, m.Actions = explained.Means, explained.HowBad, explained.Actions
	}
	m.Commands = commands(alerts, explained)
	if runbook != "" {
		m.RunbookURL = runbook + "#" + string(first.Kind)
	}
	return m
}

// idOf is the same for the same alerts with the same status. An incident has one of each, and its
// name says of which kind it is.
func idOf(alerts []alert.Alert) string {
	hash := sha256.New()
	for _, a := range alerts {
		fmt.Fprintf(hash, "%s\n%s\n%s\n", a.Namespace, a.Incident, a.Status())
	}
	return fmt.Sprintf("%s-%.16x", alerts[0].Kind, hash.Sum(nil))
}

// commands are what to run next. A condition that has ended leaves nothing to do.
func commands(alerts []alert.Alert, explained explain.Text) []string {
	first := alerts[0]
	if first.Resolved() {
		return nil
	}
	values := explain.Values{Config: configFile, Namespace: first.Namespace, Incident: first.Incident, Epoch: first.Epoch}
	if len(alerts) > 1 {
		list := explain.Text{Commands: []string{explain.ListIncidents}}
		return append(list.CommandsFor(values), explained.CommandsFor(values)...)
	}
	return explained.CommandsFor(values)
}

// withEvidence are the kinds that have evidence at their epoch.
var withEvidence = map[alert.Kind]bool{
	alert.Rejected: true, alert.Equivocation: true, alert.Contradiction: true, alert.NamesChanged: true,
	alert.SplitView: true, alert.AuditorContradiction: true, alert.AuditorSignedRejected: true,
	alert.VerdictLogChanged: true, alert.WitnessDisagrees: true,
}

// evidence is the folder with the evidence of all of the alerts.
func evidence(alerts []alert.Alert) string {
	first := alerts[0]
	if !withEvidence[first.Kind] {
		return ""
	}
	folder, err := auditstore.EvidenceFolder(first.Namespace, first.Epoch)
	if err != nil {
		return "" // a name from elsewhere, of which nothing can be kept
	}
	for _, a := range alerts {
		if a.Epoch != first.Epoch {
			above, _, _ := strings.Cut(folder, "/evidence/")
			return above + "/evidence/"
		}
	}
	return folder
}

// Text is the message as plain text, without its title: for e-mail, and for whatever has no markup.
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
	if n := len(m.Alerts); n > 1 {
		add("", fmt.Sprintf("and %d more of the same kind", n-1))
	}
	add("Evidence", m.Evidence)
	add("Runbook", m.RunbookURL)
	paragraph := func(heading string, text ...string) {
		if len(text) > 0 && text[0] != "" {
			lines = append(append(lines, "", heading+":"), text...)
		}
	}
	paragraph("Detail", m.Detail)
	if m.Status == Firing {
		paragraph("What it means", m.Meaning)
		paragraph("How bad it is", m.HowBad)
		paragraph("What to do", m.Actions)
		paragraph("Commands", m.Commands...)
	}
	return strings.Join(lines, "\n") + "\n"
}

func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339) }
