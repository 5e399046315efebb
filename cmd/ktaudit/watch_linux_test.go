package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a terminal of its own, and what was written to it.
type terminal struct {
	*os.File          // the side of the program
	keys     *os.File // what is typed

	mu      sync.Mutex
	written bytes.Buffer
}

func newTerminal(t *testing.T, columns, rows uint16) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows}); err != nil {
		t.Fatal(err)
	}
	shown := &terminal{File: slave, keys: master}
	t.Cleanup(func() { _ = slave.Close() })
	go func() {
		buffer := make([]byte, 4<<10)
		for {
			n, err := master.Read(buffer)
			if err != nil {
				return
			}
			shown.mu.Lock()
			shown.written.Write(buffer[:n])
			shown.mu.Unlock()
		}
	}()
	return shown
}

func (s *terminal) waitFor(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		s.mu.Lock()
		got := s.written.String()
		s.mu.Unlock()
		if strings.Contains(got, text) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the terminal never showed %q:\n%q", text, got)
		}
	}
}

// A watched status follows what happens, and ends with the exit status of the last one.
func TestWatch(t *testing.T) {
	t.Parallel()
	a := newAudited(t, "6", "--tamper", "6=rewrite")
	audit := func(to string) {
		t.Helper()
		if out, err := a.command("run", "--from", "1", "--to", to, "--settle", "0s").CombinedOutput(); err != nil && !strings.Contains(string(out), "epochs verified") {
			t.Fatalf("%v: %s", err, out)
		}
	}
	watch := func(screen *terminal) *exec.Cmd {
		t.Helper()
		cmd := a.command("status", "--watch", "--max-lag", "5")
		cmd.Stdout = screen.File
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		return cmd
	}
	interrupted := func(cmd *exec.Cmd) (status int) {
		t.Helper()
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if _, exited := errors.AsType[*exec.ExitError](cmd.Wait()); !exited && cmd.ProcessState == nil {
			t.Fatal("it did not end")
		}
		return cmd.ProcessState.ExitCode()
	}
	audit("4")
	screen := newTerminal(t, 100, 30)
	good := watch(screen)
	screen.waitFor(t, "####--") // two are published and have no verdict
	if status := interrupted(good); status != exitGood {
		t.Errorf("exit status %d of a good status", status)
	}
	screen = newTerminal(t, 100, 40)
	bad := watch(screen)
	screen.waitFor(t, "####--")
	audit("6")
	screen.waitFor(t, "#####X")
	if status := interrupted(bad); status != exitFound {
		t.Errorf("exit status %d after a rejection", status)
	}
	screen.waitFor(t, firstScreen)
}

// Where nothing can be redrawn, --watch is refused.
func TestWatchWithoutATerminal(t *testing.T) {
	t.Parallel()
	a := newAudited(t, "1")
	for _, args := range [][]string{{"status", "--watch"}, {"status", "--watch", "--json"}} {
		out, err := a.command(args...).CombinedOutput()
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != exitFailed || !strings.Contains(string(out), "--watch") {
			t.Errorf("%q: %v: %s", args, err, out)
		}
	}
}

// TestInitOnATerminal types the answers, of which one is interrupted with Ctrl-C first.
func TestInitOnATerminal(t *testing.T) {
	t.Parallel()
	dir := newWorkDir(t)
	start := func(screen *terminal) *exec.Cmd {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), filepath.Join(binDir, "ktaudit"), "config", "init")
		cmd.Dir, cmd.Env = dir, environment(dir)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = screen.File, screen.File, screen.File
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	answer := func(screen *terminal, question, line string) {
		t.Helper()
		screen.waitFor(t, question)
		if _, err := screen.keys.WriteString(line); err != nil {
			t.Fatal(err)
		}
	}
	screen := newTerminal(t, 110, 40)
	cmd := start(screen)
	answer(screen, "Which log?", "\x03")
	_ = cmd.Wait() // the status is looked at below
	if got := cmd.ProcessState.ExitCode(); got != exitFailed {
		t.Errorf("interrupted, it exits with %d, want %d", got, exitFailed)
	}
	screen.waitFor(t, "nothing was written")

	screen = newTerminal(t, 110, 40)
	cmd = start(screen)
	for _, a := range [][2]string{
		{"Which log?", "\n"}, {"First epoch", "1216000\n"}, {"Where do verdicts go?", "\n"}, {"Redis [", "\n"},
		{"Alertmanager", "http://localhost:9093\n"}, {"Slack", "\n"}, {"Address of", "\n"},
	} {
		answer(screen, a[0], a[1])
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, screen.written.String())
	}
	const want = "> ktaudit.yaml is valid: whatsapp.key-transparency.v2\n"
	if got := shell(t, dir, environment(dir), "ktaudit config check ktaudit.yaml"); got != want {
		t.Errorf("config check says %q, want %q", got, want)
	}
}
