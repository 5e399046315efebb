package config

import (
	"fmt"
	"regexp"
)

// target is what all alert targets have.
type target struct{ name, url, urlFile, urlEnv string }

func (v checker) alerts() {
	seen := seenTargets{names: map[string]string{"log": "ktaudit's own log"}, addresses: map[string]string{}}
	for i, t := range v.Alerts.Alertmanager {
		path := fmt.Sprintf("alerts.alertmanager[%d].", i)
		v.target(path, target{t.Name, t.URL, t.URLFile, t.URLEnv}, seen)
		v.must(path+"url", t.URL != "" || t.URLFile != "" || t.URLEnv != "", "is missing")
	}
	for i, t := range v.Alerts.Webhook {
		path := fmt.Sprintf("alerts.webhook[%d].", i)
		v.target(path, target{t.Name, t.URL, t.URLFile, t.URLEnv}, seen)
		v.must(path+"url", t.URL != "" || t.URLFile != "" || t.URLEnv != "", "is missing")
		v.secretGiven(path, "secret", t.SecretFile, t.SecretEnv)
		v.secret(path, "secret", t.SecretFile, t.SecretEnv)
	}
	for i, t := range v.Alerts.Slack {
		path := fmt.Sprintf("alerts.slack[%d].", i)
		v.target(path, target{t.Name, "", t.URLFile, t.URLEnv}, seen)
		v.secretGiven(path, "url", t.URLFile, t.URLEnv)
	}
}

// seenTargets say which target has each name and each address first.
type seenTargets struct{ names, addresses map[string]string }

// targetName is what package alert takes for one.
var targetName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

func (v checker) target(path string, t target, seen seenTargets) {
	if t.name != "" {
		other := seen.names[t.name]
		v.must(path+"name", targetName.MatchString(t.name), "%.60q: want up to 64 lower-case letters, digits, - and _", t.name)
		v.must(path+"name", other == "", "%s is the name of %s already", t.name, other)
		seen.names[t.name] = path[:len(path)-1]
	}
	if t.url != "" {
		v.check(path+"url", checkHTTP(t.url))
		v.must(path+"url_file", t.urlFile == "", "url is given too: choose one")
		v.must(path+"url_env", t.urlEnv == "", "url is given too: choose one")
	}
	v.secret(path, "url", t.urlFile, t.urlEnv)
	for _, a := range []struct{ field, value string }{{"url", t.url}, {"url_file", t.urlFile}, {"url_env", t.urlEnv}} {
		if a.value == "" {
			continue
		}
		key := a.field + " " + a.value
		other := seen.addresses[key]
		v.must(path+a.field, other == "", "the same target as %s: each alert would arrive twice", other)
		seen.addresses[key] = path[:len(path)-1]
	}
}

// secret checks that the configuration says in at most one way where a secret is.
func (v checker) secret(path, what, file, env string) {
	v.must(path+what+"_env", file == "" || env == "", "%s_file is given too: choose one", what)
	v.check(path+what+"_env", checkVariable(env))
}

// secretGiven checks that the configuration says where a secret is.
func (v checker) secretGiven(path, what, file, env string) {
	v.must(path+what+"_file", file != "" || env != "" || v.problems.isBlamed(path+what+"_env"),
		"is missing: name the file with the %s here, or its environment variable as %s_env", what, what)
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// checkVariable does not repeat what it refuses: it may be the secret itself.
func checkVariable(name string) error {
	if name != "" && !variable.MatchString(name) {
		return fmt.Errorf("is not the name of an environment variable, which has letters, digits and _")
	}
	return nil
}
