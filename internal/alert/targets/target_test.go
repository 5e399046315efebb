package targets

import (
	"slices"
	"strings"
	"testing"
)

func TestNewMakesEveryKind(t *testing.T) {
	t.Parallel()
	for _, kind := range Kinds() {
		target, err := New(kind, Settings{Address: "https://alerts.example.org", Secret: secret})
		must(t, err)
		if !strings.HasPrefix(target.Name, kind+"-") || CheckName(target.Name) != nil || target.Batch < 1 || target.Send == nil {
			t.Errorf("%s: %+v", kind, target)
		}
		for _, bad := range []Settings{{Secret: secret}, {Name: "Not A Name", Address: "https://alerts.example.org", Secret: secret}} {
			if _, err := New(kind, bad); err == nil {
				t.Errorf("%s: %+v is taken", kind, bad)
			}
		}
	}
	// These are keys of configuration files and values of a metric's label.
	for _, kind := range []string{"alertmanager", "webhook", "slack"} {
		if !slices.Contains(Kinds(), kind) {
			t.Errorf("%q is gone from %q", kind, Kinds())
		}
	}
	if _, err := New("pigeon", Settings{}); err == nil || !strings.Contains(err.Error(), strings.Join(Kinds(), ", ")) {
		t.Errorf("unknown kind: %v", err)
	}
}
