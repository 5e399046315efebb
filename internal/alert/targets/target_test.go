package targets

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestNewMakesEveryKind(t *testing.T) {
	t.Parallel()
	good := Settings{
		URL: "https://alerts.example.org", Secret: secret, Exec: Exec{Path: "/bin/true", Timeout: time.Second},
		Email: Email{Server: "smtp.example.org:587", Security: SecurityStartTLS, From: "kt@example.org", To: []string{"on-call@example.org"}},
	}
	for _, kind := range Kinds() {
		made, err := New(kind, good)
		must(t, err)
		if target := made[0]; len(made) != 1 || !strings.HasPrefix(target.Name, kind+"-") || CheckName("", target.Name) != nil || target.Send == nil {
			t.Errorf("%s: %+v", kind, made)
		}
		named := good
		named.Name = "Not A Name"
		for _, bad := range []Settings{{}, named} {
			if _, err := New(kind, bad); err == nil {
				t.Errorf("%s: %+v is taken", kind, bad)
			}
		}
	}
	// These are keys of configuration files and values of a metric's label.
	for _, kind := range []string{"alertmanager", "webhook", "slack", "email", "pagerduty", "exec"} {
		if !slices.Contains(Kinds(), kind) {
			t.Errorf("%q is gone from %q", kind, Kinds())
		}
	}
	if _, err := New("pigeon", Settings{}); err == nil || !strings.Contains(err.Error(), strings.Join(Kinds(), ", ")) {
		t.Errorf("unknown kind: %v", err)
	}
}
