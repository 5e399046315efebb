//go:build unix

package targets

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/jsonpost"
)

// script makes a target of a shell script.
func script(t *testing.T, text string, timeout time.Duration, args ...string) alert.Target {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	must(t, os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700))
	return makeTarget(t, "exec", Settings{Exec: Exec{Path: path, Args: args, Timeout: timeout}})
}

func TestExecGetsTheAlertAndLittleElse(t *testing.T) {
	t.Setenv("KTAUDIT_TEST_SECRET", "hunter2")
	dir := t.TempDir()
	target := script(t, `cat > "$1/input" && env > "$1/env"`, 10*time.Second, dir)
	must(t, target.Send(t.Context(), []alert.Alert{rejected}))
	input, err := os.ReadFile(filepath.Join(dir, "input"))
	must(t, err)
	var got struct{ Status, Incident string }
	must(t, json.Unmarshal(input, &got))
	if got.Status != "firing" || got.Incident != rejected.Incident {
		t.Errorf("got %s", input)
	}
	env, err := os.ReadFile(filepath.Join(dir, "env"))
	must(t, err)
	if strings.Contains(string(env), "hunter2") || !strings.Contains(string(env), "PATH=") {
		t.Errorf("its environment is\n%s", env)
	}
}

func TestExecFailures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script, want string
		ok           bool
	}{
		"status 0 without reading": {script: "exit 0", ok: true},
		"a status":                 {script: "echo the modem is busy >&2; exit 3", want: `exit status 3: "the modem is busy"`},
		"a flood of complaints":    {script: "yes complaint | head -c 1000000 >&2; exit 1", want: "exit status 1: \"complaint"},
		"killed by itself":         {script: "kill -9 $$", want: "killed"},
	} {
		err := script(t, c.script, 10*time.Second).Send(t.Context(), []alert.Alert{rejected})
		if c.ok != (err == nil) || err != nil && (!strings.Contains(err.Error(), c.want) || jsonpost.Refused(err) || len(err.Error()) > 1000) {
			t.Errorf("%s: %v", name, err)
		}
	}
	never := script(t, "echo what is this >&2; exit 65", 10*time.Second).Send(t.Context(), []alert.Alert{rejected})
	if !jsonpost.Refused(never) || jsonpost.RefusesAll(never) || !strings.Contains(never.Error(), "what is this") {
		t.Errorf("a program that will never take the alert: %v", never)
	}
	gone := makeTarget(t, "exec", Settings{Exec: Exec{Path: filepath.Join(t.TempDir(), "none"), Timeout: time.Second}})
	if err := gone.Send(t.Context(), []alert.Alert{rejected}); !jsonpost.RefusesAll(err) {
		t.Errorf("a program that is not there: %v", err)
	}
	for _, bad := range []Exec{{Path: "notify", Timeout: time.Second}, {Path: "/bin/true"}, {Path: "/bin/true", Timeout: time.Hour}} {
		if _, err := New("exec", Settings{Exec: bad}); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

// A program that hangs is killed with all that it started, which would hold its files open.
func TestExecIsKilledWithItsChildren(t *testing.T) {
	t.Parallel()
	began := time.Now()
	err := script(t, "sleep 600 & sleep 600", 300*time.Millisecond).Send(t.Context(), []alert.Alert{rejected})
	if err == nil || !strings.Contains(err.Error(), "was killed after 300ms") || time.Since(began) > 30*time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
}
