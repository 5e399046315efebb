package alert

import (
	"slices"
	"strings"
	"testing"
)

func TestNewTargetMakesEveryKind(t *testing.T) {
	t.Parallel()
	for _, kind := range TargetKinds() {
		target, err := NewTarget(kind, TargetSettings{Address: "https://alerts.example.org", Secret: secret})
		must(t, err)
		if !strings.HasPrefix(target.Name(), kind+"-") || CheckTargetName(target.Name()) != nil || target.batch < 1 || target.send == nil {
			t.Errorf("%s: %+v", kind, target)
		}
		for _, bad := range []TargetSettings{{Secret: secret}, {Name: "Not A Name", Address: "https://alerts.example.org", Secret: secret}} {
			if _, err := NewTarget(kind, bad); err == nil {
				t.Errorf("%s: %+v is taken", kind, bad)
			}
		}
	}
	// These are keys of configuration files and values of a metric's label.
	for _, kind := range []string{"alertmanager", "webhook", "slack"} {
		if !slices.Contains(TargetKinds(), kind) {
			t.Errorf("%q is gone from %q", kind, TargetKinds())
		}
	}
	if _, err := NewTarget("pigeon", TargetSettings{}); err == nil || !strings.Contains(err.Error(), strings.Join(TargetKinds(), ", ")) {
		t.Errorf("unknown kind: %v", err)
	}
}
