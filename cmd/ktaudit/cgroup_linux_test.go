package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/internal/jobstest"
)

// TestMemoryOfControlGroup has a run below a control group with a limit, as the kernel of this
// machine has them: it takes half of it for batches, and keeps its heap below nine tenths, unless
// GOMEMLIMIT says otherwise.
func TestMemoryOfControlGroup(t *testing.T) {
	t.Parallel()
	const limit = 256 << 20
	group := limitedGroup(t, limit)
	for name, c := range map[string]struct {
		environment []string
		heap        int64
	}{
		"by itself":         {nil, limit / 10 * 9},
		"GOMEMLIMIT":        {[]string{"GOMEMLIMIT=123MiB"}, 123 << 20},
		"empty GOMEMLIMIT":  {[]string{"GOMEMLIMIT="}, limit / 10 * 9},
		"a larger --memory": {[]string{"KTAUDIT_MEMORY=1GiB"}, limit / 10 * 9},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAudited(t, "1")
			run := a.command("run", "--from", "1", "--to", "2", "--wait", "1h", "--listen", "127.0.0.1:0", "--log-level", "info")
			shell := append([]string{"sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, group, run.Path}, run.Args[1:]...)
			cmd := exec.CommandContext(t.Context(), shell[0], shell[1:]...)
			cmd.Dir, cmd.Env = run.Dir, append(run.Env, c.environment...)
			address := startListening(t, cmd)
			defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
			page := jobstest.MetricsPage(t, address)
			budget := int64(limit / 2)
			if name == "a larger --memory" {
				budget = 1 << 30
			}
			for metric, want := range map[string]int64{"ktaudit_memory_budget_bytes": budget, "go_gc_gomemlimit_bytes": c.heap} {
				if line := fmt.Sprintf("\n%s %g\n", metric, float64(want)); !strings.Contains(page, line) {
					_, after, _ := strings.Cut(page, "\n"+metric+" ")
					got, _, _ := strings.Cut(after, "\n")
					t.Errorf("%s is %s, want %d", metric, got, want)
				}
			}
		})
	}
}

// limitedGroup makes a control group without a limit in one with a limit, of the version that limits
// memory on this machine. That needs root.
func limitedGroup(t *testing.T, limit int) string {
	t.Helper()
	var reasons []string
	for _, v := range []struct{ folder, file, enable string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes", ""},
		{"/sys/fs/cgroup", "memory.max", "cgroup.subtree_control"},
	} {
		parent := filepath.Join(v.folder, fmt.Sprintf("ktaudit-test-%d", os.Getpid()))
		child := filepath.Join(parent, "child")
		err := os.Mkdir(parent, 0o755)
		if err == nil {
			t.Cleanup(func() { _ = os.Remove(parent) })
			err = os.WriteFile(filepath.Join(parent, v.file), fmt.Append(nil, limit), 0o644)
		}
		if err == nil && v.enable != "" {
			err = os.WriteFile(filepath.Join(parent, v.enable), []byte("+memory"), 0o644)
		}
		if err == nil {
			err = os.Mkdir(child, 0o755)
		}
		if err == nil {
			t.Cleanup(func() { _ = os.Remove(child) })
			return child
		}
		reasons = append(reasons, err.Error())
	}
	t.Skipf("no control group can be made on this machine: %s", strings.Join(reasons, "; "))
	return ""
}
