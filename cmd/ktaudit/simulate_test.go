package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// liveLog is a process of simulate --publish-every.
type liveLog struct {
	t      *testing.T
	cmd    *exec.Cmd
	epochs *json.Decoder // what it published
	log    *bufio.Scanner
}

func publishLive(t *testing.T, dir string) *liveLog {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(binDir, "ktaudit"), "simulate", "--json", "--log-directory", "log",
		"--signatures", "signatures", "--publish-every", "20ms", "--tamper", "3=rewrite", "--tamper", "4=missing")
	cmd.Dir, cmd.Env = dir, environment(dir)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return &liveLog{t, cmd, json.NewDecoder(stdout), bufio.NewScanner(stderr)}
}

// waitFor reads what is published as far as an epoch, and returns the first one.
func (l *liveLog) waitFor(epoch uint64) (first publishedEpoch) {
	l.t.Helper()
	for e := (publishedEpoch{}); e.Epoch < epoch; {
		if err := l.epochs.Decode(&e); err != nil {
			l.t.Fatalf("waiting for epoch %d: %v", epoch, err)
		}
		if first.Epoch == 0 {
			first = e
		}
	}
	return first
}

// TestLiveLogGoesOn kills a log that publishes, starts it again, breaks its directory for a while,
// and stops it.
func TestLiveLogGoesOn(t *testing.T) {
	t.Parallel()
	dir := newWorkDir(t)
	killed := publishLive(t, dir)
	if first := killed.waitFor(6); first.Epoch != 1 {
		t.Errorf("the log begins with epoch %d, want 1", first.Epoch)
	}
	if err := killed.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, killed.epochs.Buffered()) }()
	_ = killed.cmd.Wait() // it was killed

	// A file where an epoch's folder should be is a fault of the directory.
	obstacle := filepath.Join(dir, "log", "40")
	if err := os.WriteFile(obstacle, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	again := publishLive(t, dir)
	if first := again.waitFor(39); first.Epoch < 6 || first.Epoch > 39 {
		t.Errorf("the log goes on with epoch %d, want the newest", first.Epoch)
	}
	for again.log.Scan() && !strings.Contains(again.log.Text(), "cannot publish") {
	}
	if err := os.Remove(obstacle); err != nil {
		t.Fatal(err)
	}
	go func() {
		for again.log.Scan() {
		}
	}()
	again.waitFor(41)
	if err := again.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := again.cmd.Wait(); err != nil {
		t.Errorf("stopped: %v, want exit status 0", err)
	}
	const want = "39 of 41 verified: 1 rejected, 1 missing\n"
	got := shell(t, dir, environment(dir), "ktaudit verify --from 1 --to 41 log | tail -n 1; test -e signatures/41.json")
	if got != "> "+want {
		t.Errorf("the log verifies as %q, want %q", got, want)
	}
}
