package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAddresses(t *testing.T) {
	for _, name := range []string{"KTAUDIT_TEST_URL_1", "KTAUDIT_TEST_URL_2", "KTAUDIT_TEST_URL_3"} {
		t.Setenv(name, "https://user:hunter2@alerts.example.org")
	}
	t.Setenv("KTAUDIT_TEST_PASSWORD", "hunter2")
	c := parse(t, withNamespace()+`
redis: redis://localhost
redis_password_env: KTAUDIT_TEST_PASSWORD
alerts:
  alertmanager: [{url: "https://alerts.example.org"}, {url_env: KTAUDIT_TEST_URL_1}]
  webhook: {url_env: KTAUDIT_TEST_URL_2, secret_env: KTAUDIT_TEST_PASSWORD}
  slack: {url_env: KTAUDIT_TEST_URL_3}
`)
	targets := c.Alerts.Targets()
	address := func(i int) func() (string, error) {
		return func() (string, error) {
			settings, err := targets[i].Settings("")
			return settings.URL, err
		}
	}
	secretOf := func(i int) func() (string, error) {
		return func() (string, error) {
			settings, err := targets[i].Settings("")
			return string(settings.Secret), err
		}
	}
	const plain, secret = "https://alerts.example.org", "https://user:hunter2@alerts.example.org"
	for _, test := range []struct {
		name string
		read func() (string, error)
		want string
	}{
		{"alertmanager", address(0), plain},
		{"alertmanager with password", address(1), secret},
		{"webhook", address(2), secret},
		{"slack", address(3), secret},
		{"webhook's secret", secretOf(2), "hunter2"},
	} {
		if got, err := test.read(); got != test.want || err != nil {
			t.Errorf("%s: %q, %v, want %q", test.name, got, err, test.want)
		}
	}
	if strings.Contains(c.YAML(), "hunter2") {
		t.Errorf("a secret is shown:\n%s", c.YAML())
	}
}

// TestOpenSecrets: a secret that others on the machine can read is none.
func TestOpenSecrets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, []byte("https://h.example.org"), 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	link := filepath.Join(dir, "link") // as Kubernetes mounts secrets
	if err := os.Symlink(file("linked", 0o644), link); err != nil {
		t.Fatal(err)
	}
	c := parse(t, withNamespace()+`
redis: redis://localhost
redis_password_file: `+file("redis", 0o640)+`
alerts:
  alertmanager: {url_file: `+file("good", 0o600)+`}
  webhook: [{url_file: `+link+`, secret_file: `+file("own", 0o400)+`}, {url: "https://h.example.org", secret_file: `+file("key", 0o604)+`}]
  slack: {url_file: `+filepath.Join(dir, "none")+`}
`)
	var got []string
	for _, w := range c.Warnings() {
		got = append(got, strings.ReplaceAll(w.Path+": "+w.Message, dir+"/", ""))
	}
	want := []string{
		"redis_password_file: other users of this machine can read redis (mode 0640)",
		"alerts.webhook[0].url_file: other users of this machine can read link (mode 0644)",
		"alerts.webhook[1].secret_file: other users of this machine can read key (mode 0604)",
	}
	if len(got) != len(want) {
		t.Fatalf("%q, want %q", got, want)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]+": run `chmod 600` on it") {
			t.Errorf("%q, want %q", got[i], want[i])
		}
	}
}
