package page

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/transparency/tlogtest"
)

// TestBrowser has scripts/browser/page.mjs look at the page in Chromium, and does what it asks for
// in between. KTAUDIT_SCREENSHOTS=docs/screenshots, a folder of the repository, has it take the
// pictures that the documentation shows.
func TestBrowser(t *testing.T) {
	if testing.Short() && os.Getenv("CI") != "true" {
		t.Skip("needs a browser: left out with -short")
	}
	node, chromium := testservers.Program(t, "node"), testservers.Program(t, "chromium")
	root, err := filepath.Abs("..")
	jobstest.Must(t, err)
	packages := filepath.Join(root, ".tools", "browser")
	if _, err := os.Stat(filepath.Join(packages, "node_modules")); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("what drives the browser is not there: scripts/test installs it")
	}
	w := newBrowserWorld(t)
	good, bad := w.batchFiles(t, judged)
	newest, err := w.Store.Verdict(t.Context(), jobstest.Namespace, judged)
	jobstest.Must(t, err)
	about := map[string]any{
		"base": w.server.URL + "/", "origins": []string{w.server.URL}, "log": jobstest.Namespace, "million": million, "broken": broken,
		"head": judged, "rejected": 3, "digest": newest.Digest, "batch": good, "badBatch": bad,
		"otherKey": tlogtest.New(w.verifier.Name()).Verifier(), "chromium": chromium, "packages": packages,
	}
	if folder := os.Getenv("KTAUDIT_SCREENSHOTS"); folder != "" {
		about["screenshots"] = filepath.Join(root, folder)
	}
	said, err := json.Marshal(about)
	jobstest.Must(t, err)
	cmd := exec.CommandContext(t.Context(), node, filepath.Join(root, "scripts", "browser", "page.mjs"))
	cmd.Env = append(os.Environ(), "KTAUDIT_BROWSER_TEST="+string(said))
	cmd.WaitDelay = 10 * time.Second
	cmd.Stderr = os.Stderr
	answers, err := cmd.StdinPipe()
	jobstest.Must(t, err)
	out, err := cmd.StdoutPipe()
	jobstest.Must(t, err)
	jobstest.Must(t, cmd.Start())
	tests := w.follow(t, out, answers)
	if err := cmd.Wait(); err != nil && !t.Failed() {
		t.Error(err)
	}
	if tests < 10 {
		t.Errorf("%d tests went well in the browser", tests)
	}
}

// follow reads what the program says, and does what it asks for. It returns how many tests went
// well.
func (w *browserWorld) follow(t *testing.T, out io.Reader, answers io.Writer) (tests int) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	failed := false
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch {
		case word == "do":
			answer := "done"
			if err := w.do(t, rest); err != nil {
				answer = err.Error()
			}
			if _, err := fmt.Fprintln(answers, answer); err != nil {
				t.Error(err)
			}
		case word == "ok":
			tests, failed = tests+1, false
			t.Log(rest)
		case word == "FAILED":
			failed = true
			t.Error(rest)
		case failed: // the rest of what went wrong
			t.Error(lines.Text())
		default:
			t.Log(lines.Text())
		}
	}
	if err := lines.Err(); err != nil {
		t.Error(err)
	}
	return tests
}

// do has something happen to the log that the page is about.
func (w *browserWorld) do(t *testing.T, what string) error {
	switch what {
	case "epoch", "incident": // the epoch after the good ones is tampered with
		w.audit(t)
		return w.page.Round(t.Context(), jobstest.Namespace)
	}
	return fmt.Errorf("there is no %q", what)
}
