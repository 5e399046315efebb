package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/jobs/report"
)

// audited is a directory with a simulated log in "log" and an audit store in "audit".
type audited struct {
	t   *testing.T
	dir string
}

func newAudited(t *testing.T, epochs string, simulate ...string) audited {
	t.Helper()
	a := audited{t, t.TempDir()}
	if out, err := a.command(append([]string{"simulate", "--log-directory", "log", "--epochs", epochs}, simulate...)...).CombinedOutput(); err != nil {
		t.Fatalf("simulate: %v\n%s", err, out)
	}
	if err := os.Mkdir(filepath.Join(a.dir, "audit"), 0o755); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a audited) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(a.t.Context(), filepath.Join(binDir, "ktaudit"), args...)
	cmd.Dir = a.dir
	cmd.Env = append(environment(a.dir), "KTAUDIT_NAMESPACE=example", "KTAUDIT_LOG_DIRECTORY=log", "KTAUDIT_AUDIT_STORE=audit")
	return cmd
}

// verdicts counts what is in the audit store.
func (a audited) verdicts() int {
	a.t.Helper()
	n := 0
	err := filepath.WalkDir(filepath.Join(a.dir, "audit", "example", "verdicts"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".json" {
			n++
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a draft that was there a moment ago
		}
		return err
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return n
}

// waitForVerdicts waits until n verdicts are there.
func (a audited) waitForVerdicts(n int) {
	a.t.Helper()
	for deadline := time.Now().Add(time.Minute); a.verdicts() < n; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			a.t.Fatalf("%d verdicts after a minute, want %d", a.verdicts(), n)
		}
	}
}

// TestRunGoesOnAfterBeingKilled kills run with SIGKILL again and again and starts the same command
// anew.
func TestRunGoesOnAfterBeingKilled(t *testing.T) {
	t.Parallel()
	a := newAudited(t, "300")
	run := func() *exec.Cmd {
		return a.command("run", "--from", "1", "--to", "300", "--concurrency", "2", "--json")
	}
	for kill := 1; kill <= 5; kill++ {
		cmd := run()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		a.waitForVerdicts(40 * kill)
		_ = cmd.Process.Kill() // it may have ended by itself, if this test was slow to see it
		_ = cmd.Wait()
	}
	if n := a.verdicts(); n == 300 {
		t.Logf("all verdicts were there before the last kill")
	}
	out, err := run().Output()
	var status report.Status
	if err == nil {
		err = json.Unmarshal(out, &status)
	}
	if err != nil || status.Head != 300 || status.VerifiedCount != 300 || a.verdicts() != 300 {
		t.Errorf("run after the kills: error %v, %s, %d verdicts, want 300 verified epochs", err, out, a.verdicts())
	}
}

// TestInterrupt ends commands with the signals that Ctrl-C and a service manager send.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			a := newAudited(t, "20")
			// Epoch 21 is not there, and run waits for it.
			cmd := a.command("run", "--from", "1", "--to", "21", "--wait", "1h")
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			a.waitForVerdicts(20)
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // the status is looked at below
			if got := cmd.ProcessState.ExitCode(); got != exitFailed {
				t.Errorf("run exits with %d, want %d", got, exitFailed)
			}
			if got := strings.TrimSpace(stderr.String()); !strings.HasPrefix(got, "ktaudit: interrupted (") || !strings.HasSuffix(got, " of 21 epochs were done; the same command goes on)") || stdout.Len() != 0 {
				t.Errorf("run says %q and %q, want that it was interrupted", stdout.String(), got)
			}
		})
	}
}
