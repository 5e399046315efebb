package alert

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

// Target is where alerts are sent: Alertmanager, a webhook, a chat, or ktaudit's own log.
type Target struct {
	name   string
	batch  int           // the most alerts in one message
	repeat time.Duration // how often open alerts are sent again; 0 for never
	send   func(ctx context.Context, alerts []Alert) error
}

// Name is the name under which deliveries are recorded. A target that gets another name is sent
// again what is open.
func (t Target) Name() string { return t.name }

// Send sends alerts past the outbox, once.
func (t Target) Send(ctx context.Context, alerts ...Alert) error { return t.send(ctx, alerts) }

// TargetSettings is what an operator says about a target.
type TargetSettings struct {
	Name    string // may be empty: NewTarget then makes one from kind and address
	Address string // an HTTP URL
	Secret  []byte // signs what is sent, for kinds that sign
}

// targetKinds are all kinds of targets that an operator can choose.
var targetKinds = []struct {
	kind      string
	newTarget func(TargetSettings) (Target, error)
}{
	{"alertmanager", func(s TargetSettings) (Target, error) { return NewAlertmanager(s.Name, s.Address) }},
	{"webhook", func(s TargetSettings) (Target, error) { return NewWebhook(s.Name, s.Address, s.Secret) }},
	{"slack", func(s TargetSettings) (Target, error) { return NewSlack(s.Name, s.Address) }},
}

// TargetKinds returns the kinds of targets that NewTarget makes. They are also the keys below
// "alerts" in a configuration file, and the values of the metrics' label "target".
func TargetKinds() []string {
	var kinds []string
	for _, k := range targetKinds {
		kinds = append(kinds, k.kind)
	}
	return kinds
}

// NewTarget makes a target of one of the TargetKinds.
func NewTarget(kind string, s TargetSettings) (Target, error) {
	for _, k := range targetKinds {
		if k.kind == kind {
			return k.newTarget(s)
		}
	}
	return Target{}, fmt.Errorf("unknown kind of alert target %q: want %s", kind, strings.Join(TargetKinds(), ", "))
}

var targetName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// CheckTargetName says what is wrong with a name for a target.
func CheckTargetName(name string) error {
	if !targetName.MatchString(name) {
		return fmt.Errorf("%.60q: want up to 64 lower-case letters, digits, - and _", name)
	}
	return nil
}

// nameOrDefault returns the name that the operator gave, or else one made from the kind and what
// identifies the target. The few bits of the hash reveal nothing of an address that is a secret.
func nameOrDefault(name, kind, identity string) (string, error) {
	if name == "" {
		return fmt.Sprintf("%s-%.4x", kind, sha256.Sum256([]byte(identity))), nil
	}
	if err := CheckTargetName(name); err != nil {
		return "", fmt.Errorf("name of an alert target: %w", err)
	}
	return name, nil
}

// parseAddress reads an HTTP URL. Its errors don't quote the URL, which may hold a secret.
func parseAddress(kind, address string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(address))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: the URL is malformed", kind)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, fmt.Errorf("%s: the URL must start with https:// or http:// and name a host", kind)
	}
	u.Fragment = ""
	return u, nil
}

// LogName is the name of the target that every dispatcher has: ktaudit's own log.
const LogName = "log"

// logTarget writes alerts to the program's log, so that they are seen even where nobody has
// configured a target.
func logTarget(log zerolog.Logger) Target {
	return Target{name: LogName, batch: 1, send: func(_ context.Context, alerts []Alert) error {
		for _, a := range alerts {
			logAlert(log, a)
		}
		return nil
	}}
}

func logAlert(log zerolog.Logger, a Alert) {
	level := zerolog.ErrorLevel
	switch {
	case a.Resolved():
		level = zerolog.InfoLevel
	case a.Severity == Warning:
		level = zerolog.WarnLevel
	}
	event := log.WithLevel(level).
		Str("kind", string(a.Kind)).Str("severity", string(a.Severity)).Str("status", a.Status()).
		Str("namespace", a.Namespace).Str("incident", a.Incident).Uint64("epoch", a.Epoch).Time("at", a.At)
	if a.Reason != "" {
		event.Str("reason", a.Reason)
	}
	if a.Detail != "" {
		event.Str("detail", a.Detail)
	}
	event.Msg("alert: " + a.Summary)
}
