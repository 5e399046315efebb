package testservers

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
)

// Browser runs a program of scripts/browser, which drives Chromium, and has do carry out what the
// program asks for in between. about is what the program is told; Browser adds where Chromium and
// the packages are. Each of its tests that fails fails t.
//
// KTAUDIT_SCREENSHOTS=docs/screenshots, a folder of the repository, has the program take the
// pictures that the documentation shows.
func Browser(t testing.TB, program string, about map[string]any, do func(what string) error) {
	t.Helper()
	leaveOutIfShort(t)
	node, chromium := Program(t, "node"), Program(t, "chromium")
	root := moduleFolder()
	packages := filepath.Join(root, ".tools", "browser")
	if _, err := os.Stat(filepath.Join(packages, "package-lock.json")); err != nil {
		must(t, &missingError{"what scripts/test puts into .tools/browser"})
	}
	about["chromium"], about["packages"] = chromium, packages
	if folder := os.Getenv("KTAUDIT_SCREENSHOTS"); folder != "" {
		about["screenshots"] = filepath.Join(root, folder)
	}
	said, err := json.Marshal(about)
	must(t, err)
	program = filepath.Join(root, "scripts", "browser", program)
	// What a test opens, go test knows of, and takes no old result when it has changed.
	for _, file := range []string{program, filepath.Join(filepath.Dir(program), "harness.mjs")} {
		_, err := os.ReadFile(file)
		must(t, err)
	}
	cmd := exec.CommandContext(t.Context(), node, program)
	cmd.Env = append(os.Environ(), "KTAUDIT_BROWSER_TEST="+string(said))
	cmd.WaitDelay = 10 * time.Second
	cmd.Stderr = os.Stderr
	answers, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	tests := followBrowser(t, out, answers, do)
	if err := cmd.Wait(); err != nil && !t.Failed() {
		t.Error(err)
	}
	if tests == 0 && !t.Failed() {
		t.Error("no test was run in the browser")
	}
}

// followBrowser reads what the program says, line by line, and does what it asks for. It returns
// how many tests went well.
func followBrowser(t testing.TB, out io.Reader, answers io.Writer, do func(what string) error) (tests int) {
	t.Helper()
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	failed := false
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch {
		case word == "do":
			answer := "done"
			if err := do(rest); err != nil {
				answer = strings.ReplaceAll(err.Error(), "\n", " ")
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
