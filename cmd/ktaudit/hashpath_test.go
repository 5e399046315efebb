package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/internal/lanes"
)

// TestHashPaths: every path that this machine has gives the vectors' verdicts, and one that it
// hasn't is said, not passed over.
func TestHashPaths(t *testing.T) {
	t.Parallel()
	verify := func(path string) (string, int) {
		cmd := exec.CommandContext(t.Context(), filepath.Join(binDir, "ktaudit"), "verify", "../../testdata/vectors/whatsapp-v1/medium",
			"../../testdata/vectors/malformed/inserted-below-unchanged")
		cmd.Env = append(os.Environ(), lanes.Environment+"="+path)
		text, _ := cmd.CombinedOutput()
		return string(text), cmd.ProcessState.ExitCode()
	}
	want, _ := verify("")
	if !strings.Contains(want, "2 of 3 verified: 1 rejected") {
		t.Fatalf("verify says %s", want)
	}
	for _, path := range lanes.Paths() {
		if got, status := verify(path); got != want || status != exitFound {
			t.Errorf("%s: exit status %d and %s, want %s", path, status, got, want)
		}
	}
	got, status := verify("sse9")
	if status != exitFailed || !strings.Contains(got, `KTAUDIT_HASH: unknown hash path "sse9"`) {
		t.Errorf("an unknown path: exit status %d and %s", status, got)
	}
}
