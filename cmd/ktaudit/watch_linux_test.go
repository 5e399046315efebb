package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a terminal of its own, and what was written to it.
type terminal struct {
	*os.File // the side of the program

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
	shown := &terminal{File: slave}
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
