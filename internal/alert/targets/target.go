package targets

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/ktaudit/ktaudit/internal/alert"
)

// Settings is what an operator says about a target.
type Settings struct {
	Name    string // may be empty: New then makes one from kind and address
	Address string // an HTTP URL
	Secret  []byte // signs what is sent, for kinds that sign
}

// constructors are all kinds of targets that an operator can choose.
var constructors = []struct {
	kind string
	make func(Settings) (alert.Target, error)
}{
	{"alertmanager", func(s Settings) (alert.Target, error) { return NewAlertmanager(s.Name, s.Address) }},
	{"webhook", func(s Settings) (alert.Target, error) { return NewWebhook(s.Name, s.Address, s.Secret) }},
	{"slack", func(s Settings) (alert.Target, error) { return NewSlack(s.Name, s.Address) }},
}

// Kinds returns the kinds of targets that New makes. They are also the keys below
// "alerts" in a configuration file, and the values of the metrics' label "target".
func Kinds() []string {
	var kinds []string
	for _, k := range constructors {
		kinds = append(kinds, k.kind)
	}
	return kinds
}

// New makes a target of one of the Kinds.
func New(kind string, s Settings) (alert.Target, error) {
	for _, k := range constructors {
		if k.kind == kind {
			return k.make(s)
		}
	}
	return alert.Target{}, fmt.Errorf("unknown kind of alert target %q: want %s", kind, strings.Join(Kinds(), ", "))
}

var targetName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// CheckName says what is wrong with a name for a target.
func CheckName(name string) error {
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
	if err := CheckName(name); err != nil {
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

// explainCommand is the command that says what a means; empty if there is none.
func explainCommand(a alert.Alert) string {
	if word := a.ExplainWord(); word != "" {
		return "ktaudit explain " + word
	}
	return ""
}
