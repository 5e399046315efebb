package main

import (
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/internal/jobstest"
)

// What runs for long collects garbage less often, unless the operator says how often.
func TestCollectLess(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{"": "200", "50": "50"} {
		t.Run("GOGC="+given, func(t *testing.T) {
			t.Parallel()
			a := newAudited(t, "1")
			cmd := a.command("run", "--from", "1", "--to", "2", "--wait", "1h", "--listen", "127.0.0.1:0", "--log-level", "info")
			cmd.Env = append(cmd.Env, "GOGC="+given)
			address := startListening(t, cmd)
			defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
			_, after, _ := strings.Cut(jobstest.MetricsPage(t, address), "\ngo_gc_gogc_percent ")
			if got, _, _ := strings.Cut(after, "\n"); got != want {
				t.Errorf("it is %s, want %s", got, want)
			}
		})
	}
}
