package main

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/testservers"
)

// storeRun runs commands on one audit store.
type storeRun struct {
	audited
	store string
	env   []string
}

func (r storeRun) start(args ...string) *exec.Cmd {
	cmd := r.command(append(args, "--namespace", "example", "--audit-store", r.store)...)
	cmd.Env = append(environment(r.dir), r.env...)
	return cmd
}

// exits runs a command, which must exit with a status and print a text.
func (r storeRun) exits(want int, says string, args ...string) {
	r.t.Helper()
	out, err := r.start(args...).CombinedOutput()
	status := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		status, err = exit.ExitCode(), nil
	}
	if err != nil || status != want || !strings.Contains(string(out), says) {
		r.t.Errorf("ktaudit %s: exit status %d, %v, want %d and %q:\n%s", strings.Join(args, " "), status, err, want, says, out)
	}
}

// Each kind of cloud store holds an audit, from the command line as from Go.
func TestAuditInGoogleAndAzure(t *testing.T) {
	t.Parallel()
	epochs, sealed := "40", "0"
	if os.Getenv("KTAUDIT_LONG") != "" {
		epochs, sealed = "1001", "1"
	}
	t.Run("Google", func(t *testing.T) {
		t.Parallel()
		s := testservers.Google(t)
		storeRun{newAudited(t, epochs, "--tamper", "7=rewrite"), s.BucketURL("commands") + "?prefix=audits/", s.Env()}.audit(epochs, sealed)
	})
	t.Run("Azure", func(t *testing.T) {
		t.Parallel()
		s := testservers.Azure(t)
		storeRun{newAudited(t, epochs, "--tamper", "7=rewrite"), s.ContainerURL("commands") + "&prefix=audits/", s.Env()}.audit(epochs, sealed)
	})
}

// audit does with a store what an operator does. A shard that is full takes a minute: KTAUDIT_LONG.
func (r storeRun) audit(epochs, sealed string) {
	r.t.Helper()
	r.exits(1, "rejected   1", "run", "--log-directory", "log", "--from", "1", "--to", epochs, "--archive", "--settle", "0s")
	r.exits(1, "rejected   1", "status")
	r.exits(0, "shards sealed    "+sealed, "seal")
	r.exits(0, "shards checked   "+sealed, "seal", "--check")
}

// A third of all answers 503 makes commands slow, and no more than that.
func TestAThirdOfAnswersIsUnavailable(t *testing.T) {
	t.Parallel()
	server := testservers.S3(t)
	faulty := testservers.Faulty(t, server, 3)
	redis := testservers.Redis(t)
	r := storeRun{newAudited(t, "11"), faulty.BucketURL("unavailable"), testservers.S3Env()}
	faulty.Set(1.0/3, testservers.Unavailable)
	r.exits(0, "verified   8", "run", "--log-directory", "log", "--from", "1", "--to", "8", "--archive", "--settle", "0s")
	r.exits(0, "verified   8", "status")
	r.exits(0, "", "seal") // nothing yet: a shard is a thousand epochs
	r.exits(0, "mismatches       0", "seal", "--check")
	r.exits(0, `"epoch":8,`, "export", "--json")
	r.exits(0, "3", "enqueue", "--redis", redis.URL(), "--from", "9", "--to", "11")
	worker := r.start("worker", "--redis", redis.URL(), "--log-directory", "log")
	var out strings.Builder
	worker.Stdout, worker.Stderr = &out, &out
	jobstest.Must(t, worker.Start())
	store, err := auditstore.Open(t.Context(), server.BucketURL("unavailable"))
	jobstest.Must(t, err)
	defer store.Close()
	jobstest.Eventually(t, "the worker has judged all", func() bool {
		epochs, err := store.Epochs(t.Context(), "example", 0)
		return err == nil && len(epochs) == 11
	})
	jobstest.Must(t, worker.Process.Signal(syscall.SIGTERM))
	if err := worker.Wait(); err != nil {
		t.Errorf("worker: %v\n%s", err, out.String())
	}
	if n := faulty.Counts()[testservers.Unavailable]; n < 10 {
		t.Errorf("only %d requests were unavailable", n)
	}
}
