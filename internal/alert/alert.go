package alert

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
)

// Kind is what sort of thing happened.
type Kind string

// The kinds of alerts.
const (
	Rejected       Kind = "rejected"        // an epoch was rejected
	Equivocation   Kind = "equivocation"    // a log published several batches for one epoch
	Contradiction  Kind = "contradiction"   // a later look disagrees with the verdict on record, or one epoch with the next
	SealedMismatch Kind = "sealed_mismatch" // sealed history is not what it was
	Skipped        Kind = "skipped"         // a log went on without an epoch; ends if it is published after all
	Silent         Kind = "silent"          // a log publishes nothing; ends
	Backlog        Kind = "backlog"         // epochs wait too long for a verdict; ends
	Transient      Kind = "transient"       // an epoch's job fails again and again; ends
	Test           Kind = "test"            // an operator wants to see an alert arrive
)

// Severity says how urgent an alert is. It follows from the kind.
type Severity string

// Critical alerts say that a log may have broken its promise, warnings that ktaudit cannot tell for now.
const (
	Critical Severity = "critical"
	Warning  Severity = "warning"
)

var kinds = map[Kind]struct {
	severity Severity
	ends     bool
	name     string // Alertmanager's alertname
	title    string
}{
	Rejected:       {Critical, false, "KtauditEpochRejected", "epoch rejected"},
	Equivocation:   {Critical, false, "KtauditEquivocation", "equivocation"},
	Contradiction:  {Critical, false, "KtauditContradiction", "contradiction"},
	SealedMismatch: {Critical, false, "KtauditSealedMismatch", "sealed history differs"},
	Skipped:        {Critical, true, "KtauditEpochSkipped", "epoch skipped"},
	Silent:         {Warning, true, "KtauditLogSilent", "log silent"},
	Backlog:        {Warning, true, "KtauditBacklog", "backlog"},
	Transient:      {Warning, true, "KtauditTransientFailures", "audit keeps failing"},
	Test:           {Warning, true, "KtauditTest", "test alert"},
}

// Severity is how urgent alerts of the kind are.
func (k Kind) Severity() Severity { return kinds[k].severity }

// Ends says whether k is a condition, which someone resolves when it is over, and not a fact.
func (k Kind) Ends() bool { return kinds[k].ends }

// The longest texts of an alert, in bytes. Raise cuts what is longer: a log that publishes long names must not prevent an alert.
const (
	maxSummary = 300
	maxDetail  = 2 << 10
)

// Alert is something people must know.
type Alert struct {
	Kind      Kind     `json:"kind"`
	Severity  Severity `json:"severity"` // filled in by Raise
	Namespace string   `json:"namespace"`
	// Incident names what happened, the same for everyone who finds it: the kind, a slash, and what tells it from others of the
	// kind, in lower-case letters, digits, "_", "-" and "/", at most 100 bytes.
	Incident string `json:"incident"`
	Epoch    uint64 `json:"epoch,omitempty"`  // the one it is about, if it is about one
	Reason   string `json:"reason,omitempty"` // a word of a fixed set, such as a verdict's reason
	Summary  string `json:"summary"`          // one line
	Detail   string `json:"detail,omitempty"`
	// At is when it began or was found. Raise fills it in.
	At time.Time `json:"at"`
	// ResolvedAt is when the condition ended; zero while it lasts.
	ResolvedAt time.Time `json:"resolved_at,omitzero"`
}

// Resolved says whether a is the news that a condition is over.
func (a Alert) Resolved() bool { return !a.ResolvedAt.IsZero() }

// status is a's state in the words of Alertmanager.
func (a Alert) status() string {
	if a.Resolved() {
		return "resolved"
	}
	return "firing"
}

// title is a's headline.
func (a Alert) title() string {
	title := kinds[a.Kind].title
	if a.Resolved() {
		return "Resolved: " + title
	}
	return strings.ToUpper(string(a.Severity[:1])) + string(a.Severity[1:]) + ": " + title
}

var (
	incident = regexp.MustCompile(`^[a-z0-9_-]+(/[a-z0-9_-]+)+$`)
	word     = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
)

const maxIncident = 100

func checkIncident(name string) (Kind, error) {
	k, _, _ := strings.Cut(name, "/")
	switch {
	case len(name) > maxIncident || !incident.MatchString(name):
		return "", fmt.Errorf("incident %.200q: want a kind and a name of lower-case letters, digits, '_', '-' and '/'", name)
	case kinds[Kind(k)].severity == "":
		return "", fmt.Errorf("incident %q: %q is no kind of alert", name, k)
	}
	return Kind(k), nil
}

// fill completes and cuts a, or says why it cannot be raised.
func (a Alert) fill(now time.Time) (Alert, error) {
	kind, err := checkIncident(a.Incident)
	switch {
	case err != nil:
		return a, err
	case kind != a.Kind:
		return a, fmt.Errorf("incident %q: its kind is %q", a.Incident, a.Kind)
	case a.Reason != "" && !word.MatchString(a.Reason):
		return a, fmt.Errorf("incident %q: reason %.100q is not a word", a.Incident, a.Reason)
	}
	a.Severity = kind.Severity()
	a.Summary, a.Detail = cut(oneLine(a.Summary), maxSummary), cut(a.Detail, maxDetail)
	if a.At.IsZero() {
		a.At = now
	}
	a.At, a.ResolvedAt = a.At.UTC(), a.ResolvedAt.UTC()
	return a, nil
}

// name is the name of a's notice. Notices are listed in the order of their names: critical ones, warnings, and what is over.
func (a Alert) name() string { return noticeName(a.Kind, a.Incident, a.Resolved()) }

// rankCritical begins the names of notices of critical alerts.
const rankCritical = "1-"

func noticeName(k Kind, incident string, resolved bool) string {
	rank := "2-"
	if k.Severity() == Critical {
		rank = rankCritical
	}
	if resolved {
		rank = "3-"
	}
	return rank + strings.ReplaceAll(incident, "/", ".")
}

// kindOf is the kind in a notice's name.
func kindOf(name string) Kind {
	_, rest, _ := strings.Cut(name, "-")
	kind, _, _ := strings.Cut(rest, ".")
	return Kind(kind)
}

// decode reads the alert in a notice, which a later version may have written, or someone with an editor.
func decode(namespace, name string, data []byte) (Alert, error) {
	var a Alert
	if err := json.Unmarshal(data, &a); err != nil {
		return Alert{}, err
	}
	_, err := checkIncident(a.Incident)
	switch {
	case err != nil:
		return Alert{}, err
	case a.name() != name || a.Namespace != namespace:
		return Alert{}, fmt.Errorf("it is incident %q of %q", a.Incident, a.Namespace)
	case a.At.IsZero():
		return Alert{}, errors.New("it has no time")
	}
	return a.fill(a.At)
}

// cut shortens s to so many bytes of valid UTF-8.
func cut(s string, limit int) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= limit {
		return s
	}
	const mark = "…"
	return strings.ToValidUTF8(s[:limit-len(mark)], "") + mark
}

// oneLine replaces what would break a line, or a terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}
