package config

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/alert/targets"
	"github.com/ktaudit/ktaudit/internal/secret"
)

// Alerts are the targets that alerts are sent to. The keys are targets.Kinds; a new kind needs a
// field here, a type with its fields, and a loop in Targets.
type Alerts struct {
	Alertmanager []AlertmanagerTarget `yaml:"alertmanager,single"`
	Webhook      []WebhookTarget      `yaml:"webhook,single"`
	Slack        []SlackTarget        `yaml:"slack,single"`
	Email        []EmailTarget        `yaml:"email,single"`
	PagerDuty    []PagerDutyTarget    `yaml:"pagerduty,single"`
	Exec         []ExecTarget         `yaml:"exec,single"`
}

// AlertmanagerTarget is a Prometheus Alertmanager.
type AlertmanagerTarget struct {
	// Name is the one under which deliveries are recorded. Empty means one made from the URL.
	Name string `yaml:"name"`
	// URL is the one of its web page. If it is a secret, since it holds a password, URLFile or
	// URLEnv names the file or the environment variable that has it instead; exactly one is given.
	URL     string `yaml:"url"`
	URLFile string `yaml:"url_file"`
	URLEnv  string `yaml:"url_env"`
	TLS     TLS    `yaml:"tls"`
}

// WebhookTarget is an HTTP endpoint that accepts signed JSON.
type WebhookTarget struct {
	// Name, URL, URLFile and URLEnv are as in AlertmanagerTarget.
	Name    string `yaml:"name"`
	URL     string `yaml:"url"`
	URLFile string `yaml:"url_file"`
	URLEnv  string `yaml:"url_env"`
	TLS     TLS    `yaml:"tls"`
	// SecretFile or SecretEnv names the file or the environment variable with the key of the HMAC;
	// exactly one is given.
	SecretFile string `yaml:"secret_file"`
	SecretEnv  string `yaml:"secret_env"`
}

// SlackTarget is an incoming webhook of Slack or of a service like it, whose URL is a secret.
type SlackTarget struct {
	// Name, URLFile and URLEnv are as in AlertmanagerTarget.
	Name    string `yaml:"name"`
	URLFile string `yaml:"url_file"`
	URLEnv  string `yaml:"url_env"`
	TLS     TLS    `yaml:"tls"`
}

// EmailTarget is a mail server, and who gets mail from it.
type EmailTarget struct {
	Name string `yaml:"name"`
	// Server is host:port. Security is tls, starttls or none; empty means tls for port 465, and
	// starttls for others.
	Server   string   `yaml:"server"`
	Security string   `yaml:"security"`
	From     string   `yaml:"from"`
	To       []string `yaml:"to"`
	// Username is for servers that want one, with PasswordFile or PasswordEnv.
	Username     string `yaml:"username"`
	PasswordFile string `yaml:"password_file"`
	PasswordEnv  string `yaml:"password_env"`
	TLS          TLS    `yaml:"tls"`
}

// PagerDutyTarget is an integration of PagerDuty's Events API v2.
type PagerDutyTarget struct {
	Name string `yaml:"name"`
	// URL is where events are sent; empty means the one of the region US.
	URL            string `yaml:"url"`
	RoutingKeyFile string `yaml:"routing_key_file"`
	RoutingKeyEnv  string `yaml:"routing_key_env"`
	TLS            TLS    `yaml:"tls"`
}

// ExecTarget is a program that takes alerts on standard input.
type ExecTarget struct {
	Name string `yaml:"name"`
	// Path is absolute.
	Path string   `yaml:"path"`
	Args []string `yaml:"args"`
	// Timeout is how long the program may run; 0 means DefaultExecTimeout.
	Timeout time.Duration `yaml:"timeout"`
}

// Targets returns all targets that alerts are sent to.
func (a Alerts) Targets() []AlertTarget {
	var all []AlertTarget
	add := func(kind string, i int, t AlertTarget) {
		t.Kind, t.path = kind, fmt.Sprintf("alerts.%s[%d]", kind, i)
		all = append(all, t)
	}
	for i, t := range a.Alertmanager {
		add("alertmanager", i, AlertTarget{name: t.Name, url: givenURL{t.URL, t.URLFile, t.URLEnv}, tls: t.TLS})
	}
	for i, t := range a.Webhook {
		add("webhook", i, AlertTarget{name: t.Name, url: givenURL{t.URL, t.URLFile, t.URLEnv}, tls: t.TLS,
			secret: "secret", secretFile: t.SecretFile, secretEnv: t.SecretEnv})
	}
	for i, t := range a.Slack {
		add("slack", i, AlertTarget{name: t.Name, secretURL: true, url: givenURL{file: t.URLFile, env: t.URLEnv}, tls: t.TLS})
	}
	for i, t := range a.Email {
		security := t.Security
		if security == "" {
			security = targets.SecurityStartTLS
			if strings.HasSuffix(t.Server, ":465") {
				security = targets.SecurityTLS
			}
		}
		add("email", i, AlertTarget{name: t.Name, noURL: true, tls: t.TLS, secret: "password", secretFile: t.PasswordFile, secretEnv: t.PasswordEnv,
			email: targets.Email{Server: t.Server, Security: security, From: t.From, To: t.To, Username: t.Username}})
	}
	for i, t := range a.PagerDuty {
		add("pagerduty", i, AlertTarget{name: t.Name, url: givenURL{text: cmp.Or(t.URL, targets.PagerDutyURL)}, tls: t.TLS,
			secret: "routing_key", secretFile: t.RoutingKeyFile, secretEnv: t.RoutingKeyEnv})
	}
	for i, t := range a.Exec {
		add("exec", i, AlertTarget{name: t.Name, noURL: true,
			exec: targets.Exec{Path: t.Path, Args: t.Args, Timeout: cmp.Or(t.Timeout, DefaultExecTimeout)}})
	}
	return all
}

// AlertTarget is a target of any kind.
type AlertTarget struct {
	Kind string // one of targets.Kinds
	path string // in the file, such as alerts.slack[0]
	name string

	secretURL bool // the URL cannot stand in the file
	noURL     bool // there is none
	url       givenURL
	tls       TLS

	secret                string // what its secret is called; empty: it has none
	secretFile, secretEnv string

	email targets.Email
	exec  targets.Exec
}

// givenURL says where a URL stands: here, in a file, or in an environment variable.
type givenURL struct{ text, file, env string }

func (u givenURL) read() (string, error) {
	if u.text != "" {
		return u.text, nil
	}
	return secret.Read("url", u.file, u.env)
}

// Settings reads the target's URL and secret, and returns what targets.New makes it of. The errors
// say which target they are about.
func (t AlertTarget) Settings(runbook string) (targets.Settings, error) {
	address, err := t.url.read()
	key, keyErr := secret.Read(t.secret, t.secretFile, t.secretEnv)
	if err = errors.Join(err, keyErr); err != nil {
		return targets.Settings{}, fmt.Errorf("%s: %w", t.path, err)
	}
	return targets.Settings{
		Name: t.name, URL: address, Secret: []byte(key), TLS: t.tls.Files(), Runbook: runbook, Email: t.email, Exec: t.exec,
	}, nil
}

// SecretFiles are the files that Settings reads, and the one with the CAs of servers.
func (t AlertTarget) SecretFiles() []string {
	return slices.DeleteFunc([]string{t.url.file, t.secretFile, t.tls.CAFile}, func(file string) bool { return file == "" })
}

// String returns where the target stands in the file, such as alerts.slack[0].
func (t AlertTarget) String() string { return t.path }

// withoutTLS returns what an attacker on the network can do to alerts sent without TLS.
func (t AlertTarget) withoutTLS() string {
	if t.Kind == "webhook" {
		return "read and suppress"
	}
	return "suppress or forge"
}

func (v checker) alerts() {
	names, addresses := map[string]string{alert.LogName: "ktaudit's own log"}, map[string]string{}
	for _, t := range v.Alerts.Targets() {
		v.targetName(t, names)
		v.targetURL(t, addresses)
		v.targetOnce(t, addresses)
		switch {
		case t.secretURL:
			v.secretGiven(t.path+".", "url", t.url.file, t.url.env)
		case !t.noURL:
			v.must(t.path+".url", t.url != givenURL{}, "is missing: give url, url_file or url_env")
		}
		v.tls(t.path+".tls", t.tls)
		if isEmail := t.Kind == "email"; t.secret != "" && (!isEmail || t.email.Username != "") {
			v.secretGiven(t.path+".", t.secret, t.secretFile, t.secretEnv)
		} else if isEmail {
			v.must(t.path+".username", t.secretFile == "" && t.secretEnv == "", "is missing: a password is given")
		}
		v.secret(t.path+".", t.secret, t.secretFile, t.secretEnv)
		switch t.Kind {
		case "email":
			v.check(t.path, t.email.Check())
		case "exec":
			v.check(t.path, t.exec.Check())
		}
	}
}

// targetName checks a target's name. Names holds which target has each name first.
func (v checker) targetName(t AlertTarget, names map[string]string) {
	if t.name == "" {
		return
	}
	v.check(t.path+".name", targets.CheckName(t.Kind, t.name))
	v.once(t, "name", t.name, names, "is already the name of %s: choose another")
}

// once checks that no other target has a key. The format of the problem takes the one that has it
// first, as seen holds it.
func (v checker) once(t AlertTarget, field, key string, seen map[string]string, format string) {
	other := seen[key]
	v.must(t.path+"."+field, other == "" || other == t.path, format, other)
	seen[key] = t.path
}

const alertedTwice = "is the same target as %s, and would get each alert twice: remove one"

// targetURL checks where a target is. Addresses holds which target has each address first.
func (v checker) targetURL(t AlertTarget, addresses map[string]string) {
	path, u := t.path+".", t.url
	if u.text != "" {
		v.check(path+"url", checkHTTP(u.text))
		v.must(path+"url_file", u.file == "", "url is given as well: choose one")
		v.must(path+"url_env", u.env == "", "url is given as well: choose one")
	}
	v.secret(path, "url", u.file, u.env)
	for _, a := range []struct{ field, value string }{{"url", u.text}, {"url_file", u.file}, {"url_env", u.env}} {
		if a.value != "" && t.Kind != "pagerduty" { // whose URL is that of many
			v.once(t, a.field, a.field+" "+a.value, addresses, alertedTwice)
		}
	}
}

// targetOnce checks that no target without a URL of its own is there twice.
func (v checker) targetOnce(t AlertTarget, addresses map[string]string) {
	switch t.Kind {
	case "pagerduty":
		if t.name == "" { // and of the routing key, which may be replaced, no name can be made
			v.once(t, "name", "pagerduty "+t.url.text, addresses, "is missing, and %s has none either: give each integration a name")
		}
	case "email":
		for _, to := range t.email.To {
			v.once(t, "to", "email "+t.email.Identity(to), addresses, "has an address that gets each alert from %s already: remove one")
		}
	case "exec":
		v.once(t, "path", fmt.Sprintf("exec %q %q", t.exec.Path, t.exec.Args), addresses, alertedTwice)
	}
}

// secret checks that at most one place of a secret is given.
func (v checker) secret(path, what, file, env string) {
	v.must(path+what+"_env", file == "" || env == "", "%s_file is given as well: choose one", what)
	if strings.Contains(file, "://") || strings.HasPrefix(file, "whsec_") {
		v.must(path+what+"_file", false, "is the %s itself, and not a file's name: put it into a file, and name that", what)
	}
	v.check(path+what+"_env", checkVariable(env))
}

// secretGiven checks that the place of a secret is given.
func (v checker) secretGiven(path, what, file, env string) {
	v.must(path+what+"_file", file != "" || env != "" || v.problems.IsBlamed(path+what+"_env"),
		"is missing: give the file that holds the %s, or its environment variable as %s_env", what, what)
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// checkVariable does not repeat the name in its error: it may be the secret itself.
func checkVariable(name string) error {
	if name != "" && !variable.MatchString(name) {
		return errors.New("is not the name of an environment variable: use letters, digits and _ only")
	}
	return nil
}
