package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/testservers"
)

// TestStatusIsNotGreen has a scheduler and a worker audit a log, and then takes away one after the
// other: the worker, the scheduler, the audit's keeping up with the log, and Redis. Whatever is
// wrong, status --max-lag exits with 1 and says what it is, and with 0 as long as nothing is,
// though all on record is verified throughout.
func TestStatusIsNotGreen(t *testing.T) {
	t.Parallel()
	a := newAudited(t, "40")
	later, log := filepath.Join(a.dir, "later"), filepath.Join(a.dir, "log")
	if err := os.Mkdir(later, 0o755); err != nil {
		t.Fatal(err)
	}
	move := func(from, to string) {
		t.Helper()
		for epoch := 21; epoch <= 40; epoch++ {
			if err := os.Rename(filepath.Join(from, fmt.Sprint(epoch)), filepath.Join(to, fmt.Sprint(epoch))); err != nil {
				t.Fatal(err)
			}
		}
	}
	move(log, later)
	redis := testservers.Redis(t)
	start := func(args ...string) *exec.Cmd {
		t.Helper()
		cmd := a.command(append(args, "--redis", redis.URL())...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		return cmd
	}
	kill := func(cmd *exec.Cmd) {
		t.Helper()
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
	}
	worker, scheduler := []string{"worker", "--settle", "0s"}, []string{"scheduler", "--poll", "1s"}

	working, scheduling := start(worker...), start(scheduler...)
	a.waitForVerdicts(20)
	a.waitForProblems(redis.URL())
	kill(working)
	a.waitForProblems(redis.URL(), "workers")
	start(worker...)
	a.waitForProblems(redis.URL())
	kill(scheduling)
	a.waitForProblems(redis.URL(), "schedulers")
	move(later, log)
	a.waitForProblems(redis.URL(), "behind", "schedulers")
	start(scheduler...)
	a.waitForVerdicts(40)
	a.waitForProblems(redis.URL())
	redis.Kill()
	a.waitForProblems(redis.URL(), "redis")
}

// waitForProblems waits until status finds these problems and no others, and exits accordingly.
func (a audited) waitForProblems(redis string, want ...string) {
	a.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		out, err := a.command("status", "--max-lag", "10", "--redis", redis, "--json").Output()
		exit, isExit := errors.AsType[*exec.ExitError](err)
		if err != nil && !isExit {
			a.t.Fatal(err)
		}
		var shown struct {
			Head     uint64
			Problems []problem
		}
		if err := json.Unmarshal(out, &shown); err != nil {
			a.t.Fatalf("%v: %s", err, out)
		}
		var got []string
		for _, p := range shown.Problems {
			got = append(got, p.Kind)
		}
		if exits := exit != nil && exit.ExitCode() == exitFound; exits != (len(want) > 0) || !slices.Equal(got, want) || shown.Head < 20 {
			if time.Now().After(deadline) {
				a.t.Fatalf("want the problems %v, status says %s", want, out)
			}
			time.Sleep(100 * time.Millisecond)
			continue
		}
		return
	}
}

// A log that cannot be asked is not one that has published nothing: a status that was to compare
// the audit with it has failed.
func TestStatusWithoutTheLog(t *testing.T) {
	t.Parallel()
	a := newAudited(t, "3")
	if out, err := a.command("run", "--from", "1", "--to", "3", "--settle", "0s").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := a.command("status").CombinedOutput(); err != nil {
		t.Errorf("with its log: %v: %s", err, out)
	}
	if err := os.Rename(filepath.Join(a.dir, "log"), filepath.Join(a.dir, "gone")); err != nil {
		t.Fatal(err)
	}
	out, err := a.command("status").CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != exitFailed {
		t.Errorf("without its log: %v, want exit status 2", err)
	}
	for _, want := range []string{"3 of 3 epochs verified", "not known whether the audit is behind"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
}

// TestStoreGone has a run lose its audit store and find it again. The outbox is gone with it, so
// the webhook is told directly, once, and once more when it is over. The metrics say so, too.
func TestStoreGone(t *testing.T) {
	t.Parallel()
	a := newAudited(t, "5")
	hooks := newReceiver(t)
	a.configure(hooks)
	path := filepath.Join(a.dir, "ktaudit.yaml")
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, append([]byte("store_unwritable_after: 500ms\n"), text...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := a.configured("run", "--listen", "127.0.0.1:0", "--log-level", "info")
	address := startListening(t, cmd)
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	a.waitForVerdicts(5)
	unwritable := func() (is bool) {
		t.Helper()
		page := jobstest.MetricsPage(t, address)
		value := regexp.MustCompile(`(?m)^ktaudit_audit_store_unwritable_seconds\{namespace="example"\} (\S+)$`).FindStringSubmatch(page)
		if value == nil {
			t.Fatalf("the metrics do not say whether the audit store can be written:\n%s", page)
		}
		return value[1] != "0"
	}
	audit, gone := filepath.Join(a.dir, "audit"), filepath.Join(a.dir, "gone")
	told := func(from, to string, want ...string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
		of := func() (statuses []string) {
			for _, incident := range hooks.got() {
				if status, _, ok := strings.Cut(incident, " store_unwritable/"); ok {
					statuses = append(statuses, status)
				}
			}
			return statuses
		}
		for deadline := time.Now().Add(time.Minute); !slices.Equal(of(), want); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the webhook was told %q, want %q", hooks.got(), want)
			}
		}
	}
	told(audit, gone, "firing")
	if !unwritable() {
		t.Error("the metrics say that the audit store can be written while it is gone")
	}
	told(gone, audit, "firing", "resolved")
	if unwritable() {
		t.Error("the metrics say that the audit store cannot be written when it is back")
	}
}
