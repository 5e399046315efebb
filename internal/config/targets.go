package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/alert/targets"
	"github.com/ktaudit/ktaudit/internal/secret"
)

// Alerts are the targets that alerts are sent to. The keys are targets.Kinds; a new kind needs
// a field here, a type with its fields, and a loop in Targets.
type Alerts struct {
	Alertmanager []AlertmanagerTarget `yaml:"alertmanager,single"`
	Webhook      []WebhookTarget      `yaml:"webhook,single"`
	Slack        []SlackTarget        `yaml:"slack,single"`
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
}

// WebhookTarget is an HTTP endpoint that accepts signed JSON.
type WebhookTarget struct {
	// Name, URL, URLFile and URLEnv are as in AlertmanagerTarget.
	Name    string `yaml:"name"`
	URL     string `yaml:"url"`
	URLFile string `yaml:"url_file"`
	URLEnv  string `yaml:"url_env"`
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
}

// Targets returns all targets.
func (a Alerts) Targets() []AlertTarget {
	var all []AlertTarget
	add := func(kind string, i int, t AlertTarget) {
		t.Kind, t.path = kind, fmt.Sprintf("alerts.%s[%d]", kind, i)
		all = append(all, t)
	}
	for i, t := range a.Alertmanager {
		add("alertmanager", i, AlertTarget{name: t.Name, url: t.URL, urlFile: t.URLFile, urlEnv: t.URLEnv})
	}
	for i, t := range a.Webhook {
		add("webhook", i, AlertTarget{
			name: t.Name, url: t.URL, urlFile: t.URLFile, urlEnv: t.URLEnv,
			hasSecret: true, secretFile: t.SecretFile, secretEnv: t.SecretEnv,
		})
	}
	for i, t := range a.Slack {
		add("slack", i, AlertTarget{name: t.Name, secretURL: true, urlFile: t.URLFile, urlEnv: t.URLEnv})
	}
	return all
}

// AlertTarget is a target of any kind.
type AlertTarget struct {
	Kind string // one of targets.Kinds
	path string // in the file, such as alerts.slack[0]
	name string

	secretURL            bool // the URL cannot stand in the file
	url, urlFile, urlEnv string

	hasSecret             bool // what is sent is signed
	secretFile, secretEnv string
}

// Settings reads the target's URL and secret, and returns what targets.New makes it of. The
// errors say which target they are about.
func (t AlertTarget) Settings() (targets.Settings, error) {
	address, err := t.address()
	key, keyErr := secret.Read("secret", t.secretFile, t.secretEnv)
	if err = errors.Join(err, keyErr); err != nil {
		return targets.Settings{}, fmt.Errorf("%s: %w", t.path, err)
	}
	return targets.Settings{Name: t.name, Address: address, Secret: []byte(key)}, nil
}

// SecretFiles are the files that Settings reads.
func (t AlertTarget) SecretFiles() []string {
	return slices.DeleteFunc([]string{t.urlFile, t.secretFile}, func(file string) bool { return file == "" })
}

// String returns where the target stands in the file, such as alerts.slack[0].
func (t AlertTarget) String() string { return t.path }

func (t AlertTarget) address() (string, error) {
	if t.url != "" {
		return t.url, nil
	}
	return secret.Read("url", t.urlFile, t.urlEnv)
}

// withoutTLS returns what an attacker on the network can do to alerts sent without TLS.
func (t AlertTarget) withoutTLS() string {
	if t.hasSecret {
		return "read and suppress"
	}
	return "suppress or forge"
}

func (v checker) alerts() {
	names, addresses := map[string]string{alert.LogName: "ktaudit's own log"}, map[string]string{}
	for _, t := range v.Alerts.Targets() {
		v.targetName(t, names)
		v.targetAddress(t, addresses)
		if t.hasSecret {
			v.secretGiven(t.path+".", "secret", t.secretFile, t.secretEnv)
			v.secret(t.path+".", "secret", t.secretFile, t.secretEnv)
		}
	}
}

// targetName checks a target's name. Names holds which target has each name first.
func (v checker) targetName(t AlertTarget, names map[string]string) {
	if t.name == "" {
		return
	}
	path, other := t.path+".name", names[t.name]
	v.check(path, targets.CheckName(t.name))
	v.must(path, other == "", "%s is already the name of %s: choose another", t.name, other)
	names[t.name] = t.path
}

// targetAddress checks where a target is. Addresses holds which target has each address first.
func (v checker) targetAddress(t AlertTarget, addresses map[string]string) {
	path := t.path + "."
	if t.url != "" {
		v.check(path+"url", checkHTTP(t.url))
		v.must(path+"url_file", t.urlFile == "", "url is given as well: choose one")
		v.must(path+"url_env", t.urlEnv == "", "url is given as well: choose one")
	}
	v.secret(path, "url", t.urlFile, t.urlEnv)
	for _, a := range []struct{ field, value string }{{"url", t.url}, {"url_file", t.urlFile}, {"url_env", t.urlEnv}} {
		if a.value == "" {
			continue
		}
		key := a.field + " " + a.value
		other := addresses[key]
		v.must(path+a.field, other == "", "is the same target as %s, and would get each alert twice: remove one", other)
		addresses[key] = t.path
	}
	if t.secretURL {
		v.secretGiven(path, "url", t.urlFile, t.urlEnv)
	} else {
		v.must(path+"url", t.url != "" || t.urlFile != "" || t.urlEnv != "", "is missing: give url, url_file or url_env")
	}
}

// secret checks that at most one place of a secret is given.
func (v checker) secret(path, what, file, env string) {
	v.must(path+what+"_env", file == "" || env == "", "%s_file is given as well: choose one", what)
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
