package alert

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

// Target is where alerts are sent: Alertmanager, a webhook, a chat, or the log.
type Target struct {
	name   string
	batch  int           // alerts in one message
	repeat time.Duration // how often what lasts is sent again; 0 for never
	send   func(ctx context.Context, alerts []Alert) error
}

// Name is the name under which deliveries are recorded. A target with another name gets again what is open.
func (t Target) Name() string { return t.name }

var targetName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// named is a target's name, made from a kind and what identifies it if the operator gave none. The few bits of the hash tell
// nothing of an address that is a secret.
func named(name, kind, identity string) (string, error) {
	if name == "" {
		return fmt.Sprintf("%s-%.4x", kind, sha256.Sum256([]byte(identity))), nil
	}
	if !targetName.MatchString(name) {
		return "", fmt.Errorf("alert target %q: want up to 64 lower-case letters, digits, '-' and '_'", name)
	}
	return name, nil
}

// parseAddress reads an HTTP URL. Errors don't quote it: it may hold a secret.
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

// LogName is the name of the target that every dispatcher has.
const LogName = "log"

// logTarget writes alerts to the program's log, so that they are seen even where no one has configured a target.
func logTarget(log zerolog.Logger) Target {
	return Target{name: LogName, batch: 1, send: func(_ context.Context, alerts []Alert) error {
		for _, a := range alerts {
			level := zerolog.ErrorLevel
			switch {
			case a.Resolved():
				level = zerolog.InfoLevel
			case a.Severity == Warning:
				level = zerolog.WarnLevel
			}
			event := log.WithLevel(level).Str("kind", string(a.Kind)).Str("severity", string(a.Severity)).Str("status", a.status()).
				Str("namespace", a.Namespace).Str("incident", a.Incident).Uint64("epoch", a.Epoch).Time("at", a.At)
			if a.Reason != "" {
				event.Str("reason", a.Reason)
			}
			if a.Detail != "" {
				event.Str("detail", a.Detail)
			}
			event.Msg("alert: " + a.Summary)
		}
		return nil
	}}
}

// refusal is a target's answer that will be the same next time: the request, or the right to send it, is at fault.
type refusal struct{ err error }

func (e *refusal) Error() string { return e.err.Error() }
func (e *refusal) Unwrap() error { return e.err }

// deferral is a failure that may pass, with the time the target asked for.
type deferral struct {
	err   error
	after time.Duration
}

func (e *deferral) Error() string { return e.err.Error() }
func (e *deferral) Unwrap() error { return e.err }

func refused(err error) bool {
	_, ok := errors.AsType[*refusal](err)
	return ok
}
