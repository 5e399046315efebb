package targets

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/jsonpost"
	"github.com/ktaudit/ktaudit/internal/tlsfiles"
)

// Settings is what an operator says about a target. Which fields have a meaning depends on the
// kind.
type Settings struct {
	// Name may be empty: New then makes one from the kind and what identifies the target. CheckName
	// says what others are like.
	Name string
	// URL is where HTTP targets are.
	URL string
	// Secret is what a webhook's requests are signed with, PagerDuty's routing key, or the password
	// of the mail server.
	Secret []byte
	// TLS says which servers are believed, and who asks them.
	TLS tlsfiles.Files
	// Runbook is the page that messages link to, with a kind as the fragment; it may be empty.
	Runbook string

	Email Email
	Exec  Exec
}

// Email says how alerts are sent as e-mail.
type Email struct {
	// Server is the mail server, host:port. Security is how it is reached: "tls" from the first
	// byte, "starttls", without which nothing is sent, or "none", for a server on this machine.
	Server, Security string
	From             string
	To               []string
	Username         string // empty: the server wants none
}

// Exec says which program takes alerts.
type Exec struct {
	Path    string // absolute
	Args    []string
	Timeout time.Duration // at most alert.SendTimeout
}

// constructors are all kinds of targets that an operator can choose.
var constructors = []struct {
	kind string
	make func(Settings) ([]alert.Target, error)
}{
	{"alertmanager", one(newAlertmanager)},
	{"webhook", one(newWebhook)},
	{"slack", one(newSlack)},
	{"email", newEmail},
	{"pagerduty", one(newPagerDuty)},
	{"exec", one(newExec)},
}

func one(make func(Settings) (alert.Target, error)) func(Settings) ([]alert.Target, error) {
	return func(s Settings) ([]alert.Target, error) {
		target, err := make(s)
		return []alert.Target{target}, err
	}
}

// Kinds returns the kinds of targets that New makes. They are also keys below "alerts" in a
// configuration file, and the values of the metrics' label "target".
func Kinds() []string {
	var kinds []string
	for _, k := range constructors {
		kinds = append(kinds, k.kind)
	}
	return kinds
}

// New makes the targets of one of the Kinds: one, or of e-mail one for each address.
func New(kind string, s Settings) ([]alert.Target, error) {
	for _, k := range constructors {
		if k.kind == kind {
			made, err := k.make(s)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", kind, err)
			}
			return made, nil
		}
	}
	return nil, fmt.Errorf("unknown kind of alert target %q: want %s", kind, strings.Join(Kinds(), ", "))
}

var targetName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)

// maxName is how long a name is at most. That of e-mail gets a suffix for each address.
const maxName, maxEmailName = 64, 64 - len("-0a1b2c3d")

// CheckName says what is wrong with a name in the Settings of a kind of target.
func CheckName(kind, name string) error {
	longest := maxName
	if kind == "email" {
		longest = maxEmailName
	}
	if len(name) > longest || !targetName.MatchString(name) {
		return fmt.Errorf("%.60q: want up to %d lower-case letters, digits, - and _", name, longest)
	}
	return nil
}

// nameOrDefault returns the name that the operator gave, or else one made from the kind and what
// identifies the target. The few bits of the hash reveal nothing of an address that is a secret.
func nameOrDefault(name, kind, identity string) (string, error) {
	if name == "" {
		return fmt.Sprintf("%s-%.4x", kind, sha256.Sum256([]byte(identity))), nil
	}
	if err := CheckName("", name); err != nil {
		return "", fmt.Errorf("name of an alert target: %w", err)
	}
	return name, nil
}

// withoutUser is a URL as it identifies a target whatever its password.
func withoutUser(u *url.URL) string {
	identity := *u
	identity.User = nil
	return identity.String()
}

// poster returns what posts to a URL, by the settings' TLS.
func (s Settings) poster(u *url.URL, secrets ...string) (jsonpost.Poster, error) {
	return jsonpost.New(u, secrets...).WithTLS(s.TLS)
}
