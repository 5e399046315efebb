package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// newRolledBack has a log that goes back at epoch 8 to epoch 3.
func newRolledBack(t *testing.T) (audited, *receiver) {
	t.Helper()
	a := newAudited(t, "1")
	log := filepath.Join(a.dir, "log")
	if err := os.RemoveAll(log); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(log, os.DirFS("../../testdata/hostile/rollback")); err != nil {
		t.Fatal(err)
	}
	hooks := newReceiver(t)
	a.configure(hooks)
	return a, hooks
}

// TestHostileRollback audits a log that goes back to the tree of epoch 3 behind a junk epoch: keys
// of epochs 4 to 6 are gone, though every step after that is one that only adds.
func TestHostileRollback(t *testing.T) {
	t.Parallel()
	a, hooks := newRolledBack(t)
	cmd := a.configured("run", "--listen", "127.0.0.1:0")
	startListening(t, cmd)
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	const incident = "firing contradiction/000000000008/chain"
	for deadline := time.Now().Add(time.Minute); !slices.Contains(hooks.got(), incident); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no alert on epoch 8 after a minute, but %q", hooks.got())
		}
	}
	evidence, err := filepath.Glob(filepath.Join(a.dir, "audit/example/evidence/*/000000000008/broken-chain-*"))
	if err != nil || len(evidence) != 1 {
		t.Fatalf("evidence is %q, %v", evidence, err)
	}
	content, err := os.ReadFile(evidence[0])
	for _, part := range []string{`"reason":"rollback"`, `{"epoch":3,`, `{"epoch":8,`} {
		if err != nil || !strings.Contains(string(content), part) {
			t.Errorf("the evidence lacks %s: %s, %v", part, content, err)
		}
	}
	a.waitForVerdicts(12)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("run: %v", err)
	}
	status := a.configured("status")
	out, _ := status.CombinedOutput()
	const want = "epoch 8 does not continue what was verified before: it goes back to epoch 3, and lacks what came between"
	if code := status.ProcessState.ExitCode(); code != exitFound || !strings.Contains(string(out), want) {
		t.Errorf("status ends with %d:\n%s", code, out)
	}
}

// A range has no scheduler to find the rollback.
func TestHostileRollbackInARange(t *testing.T) {
	t.Parallel()
	a, hooks := newRolledBack(t)
	for range 2 { // the second one finds all on record
		cmd := a.configured("run", "--to", "12")
		if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != exitFound {
			t.Fatalf("run ends with %d: %s", cmd.ProcessState.ExitCode(), out)
		}
	}
	if got, want := hooks.got(), []string{"firing contradiction/000000000008/chain", "firing rejected/000000000007"}; !slices.Equal(got, want) {
		t.Errorf("the webhook was told of %q, want %q", got, want)
	}
	if out, err := a.configured("evidence", "8", "--output", "bundle.tar.zst").CombinedOutput(); err != nil {
		t.Errorf("evidence: %v: %s", err, out)
	}
}
