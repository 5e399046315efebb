package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTranscripts plays the transcripts in testdata/*.txt and compares every line that the commands
// print.
//
// A transcript is a shell session. A line that begins with "$ " is a command, run by sh in a
// directory that is new for each transcript and holds "vectors", a link to the test vectors. Its
// standard output follows with "> " before each line, then its standard error with "! ", then
// "[exit N]" if it did not exit with 0. Other lines explain. A transcript that mentions
// KTAUDIT_REDIS has a Redis there, one that mentions PLEXI_REMOTE_URL an auditor. What differs between two runs is scrubbed; see scrubs.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			compareTranscript(t, file, func(got string) string { return got })
		})
	}
}

// compareTranscript plays the transcript in a file and compares it with what the commands print
// now, once clean has gone over that.
func compareTranscript(t *testing.T, file string, clean func(string) string) {
	t.Helper()
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := clean(play(t, string(want)))
	if got == string(want) {
		return
	}
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("%s is not what the commands print now (go test -update rewrites it):\n%s", file, firstDifference(string(want), got))
}

// play runs the commands of a transcript and returns the transcript with what they print now.
func play(t *testing.T, transcript string) string {
	t.Helper()
	dir := newWorkDir(t)
	env := environment(dir)
	if strings.Contains(transcript, "KTAUDIT_REDIS") {
		env = append(env, "KTAUDIT_REDIS="+limitedRedis(t))
	}
	if strings.Contains(transcript, "KTAUDIT_TEST_HOOK") {
		server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		defer server.Close()
		env = append(env, "KTAUDIT_TEST_HOOK="+server.URL)
	}
	if strings.Contains(transcript, "PLEXI_REMOTE_URL") {
		env = append(env, "PLEXI_REMOTE_URL="+newFakeAuditor(t).URL)
	}
	var b strings.Builder
	for line := range strings.Lines(transcript) {
		if strings.HasPrefix(line, ">") || strings.HasPrefix(line, "!") || strings.HasPrefix(line, "[exit ") {
			continue
		}
		b.WriteString(line)
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			b.WriteString(shell(t, dir, env, command))
		}
	}
	return b.String()
}

// newWorkDir makes the directory in which a transcript's commands run.
func newWorkDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	vectors, err := filepath.Abs("../../testdata/vectors")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(vectors, filepath.Join(dir, "vectors")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// environment is what a command under test sees: nothing of the caller's that could change its
// output.
func environment(dir string) []string {
	return []string{
		"PATH=" + binDir + string(os.PathListSeparator) + os.Getenv("PATH"),
		"HOME=" + dir, "TMPDIR=" + dir, "COLUMNS=110", "LC_ALL=C", "TZ=UTC",
	}
}

// shell runs one command and returns what it printed, in the form of a transcript.
func shell(t *testing.T, dir string, env []string, command string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, &stdout, &stderr
	err := cmd.Run()
	var b strings.Builder
	writeOutput(&b, ">", scrub(stdout.String(), dir))
	writeOutput(&b, "!", scrub(stderr.String(), dir))
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		fmt.Fprintf(&b, "[exit %d]\n", exit.ExitCode())
	case err != nil:
		t.Fatalf("%s: %v", command, err)
	}
	return b.String()
}

func writeOutput(b *strings.Builder, mark, output string) {
	for line := range strings.Lines(output) {
		b.WriteString(strings.TrimRight(mark+" "+line, " \n") + "\n")
	}
}

// scrubs are what differs between two runs or two machines.
var scrubs = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`(_seconds":)[0-9.e-]+`), "${1}SECONDS"},
	{regexp.MustCompile(`\b\d+(\.\d+)?(ns|µs|ms|s)\b`), "DURATION"},
	{regexp.MustCompile(`\bjudged \S+ ago\b`), "judged DURATION ago"},
	{regexp.MustCompile(`(?m)^(judged +)\S+ ago, by .*$`), "${1}DURATION ago, by SOFTWARE"},
	{regexp.MustCompile(`\bnext at \d\d:\d\d:\d\dZ`), "next at CLOCK"},
	{regexp.MustCompile(`\bgo1\.\d+(\.\d+)?\b`), "GOVERSION"},
	{regexp.MustCompile(`\b(linux|darwin)/(amd64|arm64)\b`), "PLATFORM"},
	{regexp.MustCompile(`\b(findings-)[0-9a-f]{16}`), "${1}HASH"}, // they have times
	{regexp.MustCompile(`(redis://127.0.0.1:)\d{2,}`), "${1}PORT"},
	{regexp.MustCompile(`(http://127.0.0.1:)\d{2,}`), "${1}PORT"},
	{regexp.MustCompile(`(ktaudit-demo-)\d+`), "${1}N"},
	{regexp.MustCompile(`("public_key":)"[0-9a-f]{64}"`), `${1}"PUBLIC"`}, // of a random key
	{regexp.MustCompile(`(root )[0-9A-Za-z+/]{43}=`), "${1}ROOT"},         // of entries that have times
	{regexp.MustCompile(`(verdict_log_changed/\w+-)[0-9a-f]{8}`), "${1}HASH"},
	{regexp.MustCompile(`("root":)"[0-9A-Za-z+/]{43}="`), `${1}"ROOT"`},
	{regexp.MustCompile(`("note":)"[^"]*"`), `${1}"NOTE"`},
	{regexp.MustCompile(`("statement":)"[^"]*"`), `${1}"STATEMENT"`},
	{regexp.MustCompile(`(?m)^(root +)[0-9A-Za-z+/]{43}=$`), "${1}ROOT"},
	{regexp.MustCompile(`(?m)^(judged +at TIME, by ).*$`), "${1}SOFTWARE"},
	{regexp.MustCompile(`("software":)"[^"]*"`), `${1}"SOFTWARE"`},
	{regexp.MustCompile(`(?m)^(ktaudit )\(devel\)$|^(ktaudit )v.*$`), "${1}${2}VERSION"},
	{regexp.MustCompile(`("version":)"[^"]*"`), `${1}"VERSION"`},
}

func scrub(s, dir string) string {
	s = strings.ReplaceAll(s, dir, "WORK")
	for _, r := range scrubs {
		s = r.pattern.ReplaceAllString(s, r.with)
	}
	return s
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return fmt.Sprintf("line %d\nwant: %s\ngot:  %s", i+1, w[i], g[i])
		}
	}
	return fmt.Sprintf("it has %d lines, want %d", len(g), len(w))
}
