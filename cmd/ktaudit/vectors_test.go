package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestVectors verifies all test vectors with the command, and wants the manifest's verdicts. The
// transcript vectors.txt pins their reasons.
func TestVectors(t *testing.T) {
	t.Parallel()
	type expectation struct{ Expected string }
	var manifest map[string]map[string]expectation
	data, err := os.ReadFile("../../testdata/vectors/manifest.json")
	if err == nil {
		err = json.Unmarshal(data, &manifest)
	}
	if err != nil {
		t.Fatal(err)
	}
	judged := 0
	for _, r := range verifyJSON(t, 1, "vectors/malformed", "vectors/encoding", "vectors/whatsapp-v1") {
		parts := strings.Split(r.Input, "/")
		want, ok := manifest[parts[1]][parts[2]]
		if parts[1] == "whatsapp-v1" {
			want, ok = expectation{"verified"}, true
		}
		if !ok || r.Outcome != want.Expected {
			t.Errorf("%s epoch %d: %s %s, want %s", r.Input, r.Epoch, r.Outcome, r.Reason, want.Expected)
		}
		judged++
	}
	if want := len(manifest["malformed"]) + len(manifest["encoding"]) + 30 + 40 + 2; judged != want {
		t.Errorf("%d batches were judged, want %d", judged, want)
	}
	experimental := verifyJSON(t, 0, "--configuration", "experimental:ExampleLabel", "vectors/experimental")
	if len(experimental) != 8 {
		t.Errorf("%d batches of the experimental configuration were judged, want 8", len(experimental))
	}
}

// verifyJSON runs ktaudit verify --json, which must exit with the given status.
func verifyJSON(t *testing.T, status int, args ...string) []result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(binDir, "ktaudit"), append([]string{"verify", "--json"}, args...)...)
	cmd.Dir = newWorkDir(t)
	cmd.Env = environment(cmd.Dir)
	out, _ := cmd.Output() // the status is looked at below
	if got := cmd.ProcessState.ExitCode(); got != status {
		t.Errorf("ktaudit verify %q exits with %d, want %d", args, got, status)
	}
	var results []result
	for line := range strings.Lines(string(out)) {
		var r result
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		results = append(results, r)
	}
	return results
}
