package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestUnits: what systemd must be told is in every unit.
func TestUnits(t *testing.T) {
	t.Parallel()
	units, err := filepath.Glob("systemd/*.service")
	if err != nil || len(units) != 4 {
		t.Fatalf("units %q, %v", units, err)
	}
	for _, unit := range units {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"Type=exec",      // a program that cannot be started is an error of systemctl start
			"Restart=always", // systemd takes SIGPIPE and SIGHUP for a clean end
			"RestartSec=5",   // fewer than the five starts in ten seconds after which systemd gives up
			"ExecReload=/bin/kill -HUP $MAINPID",
			"DynamicUser=yes", "ProtectSystem=strict", "NoNewPrivileges=yes", "CapabilityBoundingSet=",
		} {
			if !strings.Contains(string(text), "\n"+want+"\n") {
				t.Errorf("%s lacks %s", unit, want)
			}
		}
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd-analyze is not on this machine")
		return
	}
	out, _ := exec.CommandContext(t.Context(), analyze, append([]string{"verify", "--man=no"}, units...)...).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		// the program is not installed here
		if strings.Contains(line, "ktaudit") && !strings.Contains(line, "Command /usr/bin/ktaudit is not executable") {
			t.Errorf("systemd-analyze verify: %s", line)
		}
	}
}
