package alert

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/explain"
	"github.com/ktaudit/ktaudit/internal/text"
)

// Alert is something people must know.
type Alert struct {
	Kind      Kind     `json:"kind"`
	Severity  Severity `json:"severity"` // filled in by Raise
	Namespace string   `json:"namespace"`
	// Incident names what happened; everyone who finds the same thing uses the same name. It is the
	// kind, a slash, and what distinguishes it from others of the kind, in lower-case letters,
	// digits, "_", "-" and "/", at most 100 bytes.
	Incident string `json:"incident"`
	Epoch    uint64 `json:"epoch,omitempty"`  // if the alert is about one
	Reason   string `json:"reason,omitempty"` // a word of a fixed set, such as a verdict's reason
	Summary  string `json:"summary"`          // one line
	Detail   string `json:"detail,omitempty"`
	// At is when it began or was found. Raise fills it in if it is zero.
	At time.Time `json:"at"`
	// ResolvedAt is when the condition ended; zero while it lasts.
	ResolvedAt time.Time `json:"resolved_at,omitzero"`

	// marks are what the detail of an alert on the same fact has, see IsSameFact; empty for alerts
	// that were read, and for what had no other name before.
	marks string
}

// Resolved reports whether a says that a condition is over.
func (a Alert) Resolved() bool { return !a.ResolvedAt.IsZero() }

// Status is a's state in the words of Alertmanager.
func (a Alert) Status() string {
	if a.Resolved() {
		return "resolved"
	}
	return "firing"
}

// Title is a's headline.
func (a Alert) Title() string {
	title := kinds[a.Kind].title
	if a.Resolved() {
		return "Resolved: " + title
	}
	return strings.ToUpper(string(a.Severity[:1])) + string(a.Severity[1:]) + ": " + title
}

// ExplainWord is the word to look up in package explain: of a rejection its reason, of others their
// kind. It is empty if there is none, as for a kind of a later version.
func (a Alert) ExplainWord() string {
	if a.Kind == Rejected {
		return explain.Best(a.Reason, string(a.Kind))
	}
	return explain.Best(string(a.Kind))
}

// The longest texts of an alert, in bytes. Raise shortens longer ones: a log that publishes long
// names must not prevent an alert.
const (
	maxSummary = 300
	maxDetail  = 2 << 10
)

// reasonWord is what a reason looks like.
var reasonWord = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

// Complete fills in and shortens what Raise promises to, or says why a cannot be raised. To repeat
// it changes nothing.
func (a Alert) Complete(now time.Time) (Alert, error) {
	kind, err := ParseIncident(a.Incident)
	switch {
	case err != nil:
		return a, err
	case kind != a.Kind:
		return a, fmt.Errorf("incident %q: the alert is of kind %q", a.Incident, a.Kind)
	case a.Reason != "" && !reasonWord.MatchString(a.Reason):
		return a, fmt.Errorf("incident %q: reason %.100q: want one word of lower-case letters, digits and '_'",
			a.Incident, a.Reason)
	}
	a.Severity = kind.Severity()
	a.Summary, a.Detail = text.Clean(a.Summary, maxSummary), text.CleanLines(a.Detail, maxDetail)
	if a.At.IsZero() {
		a.At = now
	}
	a.At, a.ResolvedAt = a.At.UTC(), a.ResolvedAt.UTC()
	return a, nil
}

// Decode reads the alert on an incident of a namespace, which a later version or somebody with an
// editor may have written.
func Decode(namespace, incident string, data []byte) (Alert, error) {
	a, err := decodeAny(namespace, data)
	if err == nil && a.Incident != incident {
		err = fmt.Errorf("it holds incident %q", a.Incident)
	}
	return a, err
}

// decode reads the alert in a notice.
func decode(namespace, name string, data []byte) (Alert, error) {
	a, err := decodeAny(namespace, data)
	if err == nil && a.noticeName() != name {
		err = fmt.Errorf("it holds incident %q", a.Incident)
	}
	return a, err
}

func decodeAny(namespace string, data []byte) (Alert, error) {
	var a Alert
	if err := json.Unmarshal(data, &a); err != nil {
		return Alert{}, err
	}
	_, err := ParseIncident(a.Incident)
	switch {
	case err != nil:
		return Alert{}, err
	case a.Namespace != namespace:
		return Alert{}, fmt.Errorf("it holds incident %q of %q", a.Incident, a.Namespace)
	case a.At.IsZero():
		return Alert{}, errors.New("it has no time")
	}
	return a.Complete(a.At)
}

var incidentName = regexp.MustCompile(`^[a-z0-9_-]+(/[a-z0-9_-]+)+$`)

const maxIncident = 100

// ParseIncident returns the kind in an incident's name.
func ParseIncident(name string) (Kind, error) {
	first, _, _ := strings.Cut(name, "/")
	kind := Kind(first)
	switch {
	case len(name) > maxIncident || !incidentName.MatchString(name):
		return "", fmt.Errorf("incident %.200q: want a kind, '/' and a name of lower-case letters, digits, '_', '-' and '/', "+
			"at most %d bytes", name, maxIncident)
	case kind.Severity() == "":
		return "", fmt.Errorf("incident %q: unknown kind of alert %q", name, kind)
	}
	return kind, nil
}

// noticeName is the name of a's notice in the outbox.
func (a Alert) noticeName() string { return noticeName(a.Kind, a.Incident, a.Resolved()) }

// beginningName is the name of the notice that says that a's condition began.
func (a Alert) beginningName() string { return noticeName(a.Kind, a.Incident, false) }

// endName is the name of the notice that says that a's condition is over.
func (a Alert) endName() string { return noticeName(a.Kind, a.Incident, true) }

// The first characters of notice names. Notices are listed in the order of their names: critical
// ones, then warnings, then the ends of conditions.
const (
	rankCritical = "1-"
	rankWarning  = "2-"
	rankResolved = "3-"
)

func noticeName(k Kind, incident string, resolved bool) string {
	rank := rankWarning
	if k.Severity() == Critical {
		rank = rankCritical
	}
	if resolved {
		rank = rankResolved
	}
	return rank + strings.ReplaceAll(incident, "/", ".")
}

// IncidentOfNotice returns the incident that a notice's name is of, and whether the notice says
// that it has ended.
func IncidentOfNotice(name string) (incident string, ended bool) {
	rank, rest, _ := strings.Cut(name, "-")
	return strings.ReplaceAll(rest, ".", "/"), rank+"-" == rankResolved
}

// kindOf is the kind in a notice's name.
func kindOf(name string) Kind {
	incident, _ := IncidentOfNotice(name)
	kind, _, _ := strings.Cut(incident, "/")
	return Kind(kind)
}
