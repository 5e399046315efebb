package pins_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/pins"
)

const auditor = "https://auditor.example"

func TestPinsStay(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a", "b", "pins.json")
	if found, err := pins.Read(path, auditor); err != nil || len(found) != 0 {
		t.Fatalf("%v, error %v", found, err)
	}
	first, later := time.Unix(1_700_000_000, 5), time.Unix(1_800_000_000, 0)
	for _, add := range []struct {
		auditor string
		keys    []string
		at      time.Time
	}{{auditor, []string{"aa"}, first}, {"https://other.example", []string{"cc"}, first}, {auditor, []string{"aa", "bb"}, later}} {
		if err := pins.Add(path, add.auditor, add.keys, add.at); err != nil {
			t.Fatal(err)
		}
	}
	found, err := pins.Read(path, auditor)
	if err != nil || len(found) != 2 || found[0].PublicKey != "aa" || found[0].Since.Unix() != first.Unix() || found[1].PublicKey != "bb" {
		t.Errorf("%v, error %v", found, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, error %v", info.Mode(), err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("%v, error %v", left, err)
	}
}

// A damaged file must not read as one without pins, after which any key would be trusted.
func TestDamaged(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"empty": "", "cut off": `{"version":1,"audi`, "another version": `{"version":2,"auditors":{}}`, "nothing": `{"version":1}`,
		"a field of later": `{"version":1,"auditors":{},"more":1}`, "null": "null", "something behind": `{"version":1,"auditors":{}}{}`,
		"too large": `{"version":1,"auditors":{}}` + strings.Repeat(" ", 1<<20),
	} {
		path := filepath.Join(t.TempDir(), "pins.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if found, err := pins.Read(path, auditor); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, error %v", name, found, err)
		}
		if err := pins.Add(path, auditor, []string{"aa"}, time.Now()); err == nil {
			t.Errorf("%s: replaced", name)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != text {
			t.Errorf("%s: now %q, error %v", name, b, err)
		}
	}
	if _, err := pins.Read(t.TempDir(), auditor); err == nil {
		t.Error("a folder was read")
	}
}

func TestDefaultPath(t *testing.T) {
	t.Setenv("HOME", "/home/u")
	for state, want := range map[string]string{
		"": "/home/u/.local/state/ktaudit/pins.json", "relative": "/home/u/.local/state/ktaudit/pins.json", "/s": "/s/ktaudit/pins.json",
	} {
		t.Setenv("XDG_STATE_HOME", state)
		if got, err := pins.DefaultPath(); got != want || err != nil {
			t.Errorf("%q: %s, error %v", state, got, err)
		}
	}
}
