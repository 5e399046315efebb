//go:build unix

package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/wait"
)

// TestLostLog takes away what reads a run's log, as when systemd's journal is restarted, and sends
// it SIGHUP, as when its terminal hangs up: it goes on auditing, and counts what it could not log.
func TestLostLog(t *testing.T) {
	t.Parallel()
	for name, pair := range map[string]func(*testing.T) (read, write *os.File){
		"pipe":   brokenLater,
		"socket": socketPair,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAudited(t, "3")
			last := filepath.Join(a.dir, "log", "3")
			if err := os.Rename(last, filepath.Join(a.dir, "later")); err != nil {
				t.Fatal(err)
			}
			read, write := pair(t)
			cmd := a.command("run", "--from", "1", "--to", "3", "--wait", "1h", "--settle", "0s", "--listen", "127.0.0.1:0", "--log-level", "debug")
			cmd.Stderr = write
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			write.Close()
			address := listeningAddress(bufio.NewScanner(read))
			if err := read.Close(); err != nil {
				t.Fatal(err)
			}
			metric := func(name string) (value float64) {
				t.Helper()
				response, err := http.Get("http://" + address + "/metrics")
				if err != nil {
					t.Fatalf("the run has died: %v", err)
				}
				defer response.Body.Close()
				page, err := io.ReadAll(response.Body)
				if err != nil {
					t.Fatal(err)
				}
				_, after, _ := strings.Cut(string(page), "\n"+name+" ")
				_, _ = fmt.Sscan(after, &value)
				return value
			}
			if err := cmd.Process.Signal(syscall.SIGHUP); err != nil { // whose line is the first that is lost
				t.Fatal(err)
			}
			for metric("ktaudit_log_lines_lost_total") == 0 {
				if err := wait.For(t.Context(), 10*time.Millisecond); err != nil {
					t.Fatal("no line was lost")
				}
			}
			if err := os.Rename(filepath.Join(a.dir, "later"), last); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("the run ended with %v, want all epochs verified", err)
			}
			if n := a.verdicts(); n != 3 {
				t.Errorf("%d verdicts, want 3", n)
			}
		})
	}
}

// brokenLater is a pipe.
func brokenLater(t *testing.T) (read, write *os.File) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return read, write
}

// socketPair is what systemd connects a service to its journal with.
func socketPair(t *testing.T) (read, write *os.File) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	syscall.CloseOnExec(fds[0])
	syscall.CloseOnExec(fds[1])
	return os.NewFile(uintptr(fds[0]), "journal"), os.NewFile(uintptr(fds[1]), "journal")
}

// TestNobodyReadsResult: as in ktaudit export | head, a command whose result nobody reads ends at
// once, without a word, and not as if all was good.
func TestNobodyReadsResult(t *testing.T) {
	t.Parallel()
	a := newAudited(t, "3")
	if out, err := a.command("run", "--from", "1", "--to", "3").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("there is no full disk on this machine: %v", err)
	}
	defer full.Close()
	read, write := brokenLater(t)
	read.Close()
	defer write.Close()
	for _, args := range [][]string{{"export"}, {"export", "--format", "csv"}, {"status", "--from", "1", "--to", "3"}, {"demo", "--epochs", "3"}, {"version"}} {
		var stderr strings.Builder
		cmd := a.command(args...)
		cmd.Stdout, cmd.Stderr = write, &stderr
		_ = cmd.Run()
		if status := cmd.ProcessState.ExitCode(); status != exitFailed || stderr.String() != "" {
			t.Errorf("%q to a pipe that nobody reads exits with %d, %q, want %d without a word", args, status, &stderr, exitFailed)
		}
		stderr.Reset()
		cmd = a.command(args...)
		cmd.Stdout, cmd.Stderr = full, &stderr
		_ = cmd.Run()
		if status := cmd.ProcessState.ExitCode(); status != exitFailed || !strings.Contains(stderr.String(), "no space left") {
			t.Errorf("%q to a full disk exits with %d, %q, want %d and the reason", args, status, &stderr, exitFailed)
		}
	}
}

// TestHangup: SIGHUP ends no command, neither one that runs until stopped nor another.
func TestHangup(t *testing.T) {
	t.Parallel()
	a := newAudited(t, "1")
	for name, c := range map[string]struct {
		args   []string
		status int
	}{
		"until stopped": {[]string{"run", "--from", "1", "--listen", "127.0.0.1:0"}, exitGood},
		"a range": {
			[]string{"run", "--from", "1", "--to", "2", "--wait", "1h", "--listen", "127.0.0.1:0", "--log-level", "info"},
			exitFailed, // epoch 2 has no verdict
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := a.command(c.args...)
			stderr, err := cmd.StderrPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(stderr)
			if listeningAddress(lines) == "" {
				t.Fatal("it never listens")
			}
			if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			reloaded := false
			for !reloaded && lines.Scan() {
				reloaded = strings.Contains(lines.Text(), "SIGHUP: reloaded")
			}
			if !reloaded {
				t.Error("the log does not say that anything was reloaded")
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Errorf("it has ended: %v", err)
			}
			_, _ = io.Copy(io.Discard, stderr)
			if err := cmd.Wait(); cmd.ProcessState.ExitCode() != c.status {
				t.Errorf("%v, want exit status %d", err, c.status)
			}
		})
	}
	t.Run("nothing to reload", func(t *testing.T) {
		t.Parallel()
		asked, reply := make(chan struct{}), make(chan struct{})
		server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(asked); <-reply }))
		defer server.Close()
		cmd := a.command("health", "--listen", server.Listener.Addr().String(), "--timeout", "1m")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-asked
		if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		close(reply)
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// TestLogAgain has the log's reader die and another one come: the log says how much is missing.
func TestLogAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	open := func() *os.File {
		f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0) // as a writer, too: there is no end before the first line
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	first := open()
	a := newAudited(t, "1")
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `exec "$@" 2>"$0"`, path, filepath.Join(binDir, "ktaudit"),
		"run", "--from", "1", "--listen", "127.0.0.1:0", "--log-format", "json")
	cmd.Dir, cmd.Env = a.dir, a.command().Env
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address := listeningAddress(bufio.NewScanner(first))
	first.Close()
	hangUp := func() {
		t.Helper()
		if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	hangUp()
	for lost := false; !lost; {
		response, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		page, _ := io.ReadAll(response.Body)
		response.Body.Close()
		lost = !strings.Contains(string(page), "\nktaudit_log_lines_lost_total 0\n")
	}
	second := open()
	defer second.Close()
	hangUp()
	// What the first reader left in the pipe comes first.
	lines := bufio.NewScanner(second)
	for !strings.Contains(lines.Text(), `"message":"log lines were lost`) {
		if !lines.Scan() || strings.Contains(lines.Text(), "SIGHUP: reloaded") {
			t.Fatalf("%q comes before the line that says how many are missing (%v)", lines.Text(), lines.Err())
		}
	}
	if !strings.Contains(lines.Text(), `"lines":`) {
		t.Errorf("%s does not say how many are missing", lines.Text())
	}
	for !strings.Contains(lines.Text(), "SIGHUP: reloaded") {
		if !lines.Scan() {
			t.Fatalf("what was written after the lines that are missing did not come (%v)", lines.Err())
		}
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	go func() { _, _ = io.Copy(io.Discard, second) }()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
