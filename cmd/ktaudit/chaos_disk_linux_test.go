package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/jobs/report"

	"github.com/ktaudit/ktaudit/verdict"

	"github.com/ktaudit/ktaudit/internal/testservers"
	"golang.org/x/sys/unix"
)

// fullDiskVariable makes a write beyond the limit an error. Otherwise it ends the process, by a signal.
const fullDiskVariable = "CHAOS_FULL_DISK"

func init() {
	if os.Getenv(fullDiskVariable) != "" {
		signal.Ignore(unix.SIGXFSZ)
	}
}

// TestFullDisk audits to an audit store on local disk that is full again and again. Writes then end anywhere, in the first byte or
// in the last. Nothing half-written may be seen, and when there is room again, all must come right without anybody's help.
//
// A disk that is full takes rights that a test should not have, to mount one. So the workers are told, while they run, that no file
// of theirs may grow beyond a size. What they see is what a full disk shows them: a write that ends early, and an error at the next
// one. It is EFBIG and not ENOSPC, which nothing tells from each other. A folder can still be made, which ends later.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	const fills, each = 12, 12 // epochs are put on the queue for each time that the disk is full
	const epochs = fills * each
	redis := testservers.Redis(t)
	c := newChaos(t, "audit", "KTAUDIT_REDIS="+redis.URL(), "KTAUDIT_LOG_DIRECTORY=log", "KTAUDIT_AUDIT_STORE=audit", "KTAUDIT_SETTLE=0s",
		fullDiskVariable+"=1")
	store := filepath.Join(c.dir, "audit")
	if err := os.Mkdir(store, 0o755); err != nil {
		t.Fatal(err)
	}
	c.ktaudit(nil, "simulate", "--namespace", chaosNamespace, "--epochs", fmt.Sprint(epochs), "--tamper", "10=digest", "--tamper", "100=rewrite")

	// One writes nothing but verdicts, the other also keeps the batches.
	const level = "--log-level=debug" // tells of every fault
	workers := []*process{c.start("worker-0", "worker", level), c.start("worker-1", "worker", level, "--archive")}
	full := unix.EFBIG.Error()
	for i := range fills {
		failed := c.countInLogs(full)
		limit, patience := uint64(rand.IntN(800)), time.Minute // a verdict has a little more, so something fails
		if i%2 == 1 {
			limit, patience = uint64(rand.IntN(5000)), 3*time.Second // so has a batch, but perhaps all fits
		}
		for _, w := range workers {
			w.limitFiles(limit)
		}
		c.ktaudit(nil, "enqueue", "--from", fmt.Sprint(i*each+1), "--to", fmt.Sprint((i+1)*each))
		for wait := time.Now().Add(patience); c.countInLogs(full) == failed && time.Now().Before(wait); {
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond) // anywhere in their work
		for _, w := range workers {
			w.limitFiles(unix.RLIM_INFINITY)
		}
		c.verdicts.look()
	}
	deadline := time.Now().Add(3 * time.Minute)
	for c.verdicts.look(); c.verdicts.count() < epochs; c.verdicts.look() {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d epochs have a verdict, three minutes after there was room again", c.verdicts.count(), epochs)
		}
		time.Sleep(50 * time.Millisecond)
	}
	c.stop(workers...)
	c.checkLogs()
	if n := c.countInLogs(full); n < fills {
		t.Errorf("%d writes failed: the test shows too little", n)
	}
	kept := 0
	for epoch, v := range c.verdicts.verdicts() {
		if tampered := epoch == 10 || epoch == 100; tampered != (v.Outcome == verdict.Rejected) {
			t.Errorf("epoch %d: %+v", epoch, v)
		}
		batch, err := os.ReadFile(filepath.Join(store, chaosNamespace, "archive", "000000000", fmt.Sprintf("%012d", epoch)))
		if errors.Is(err, fs.ErrNotExist) && v.Outcome == verdict.Verified {
			continue
		}
		kept++
		if hash := fmt.Sprintf("%x", sha256.Sum256(batch)); err != nil || hash != v.Batch.SHA256 {
			t.Errorf("epoch %d: the archived batch has %d bytes with hash %s, judged were %+v (%v)", epoch, len(batch), hash, v.Batch, err)
		}
	}
	if kept < epochs/10 {
		t.Errorf("%d batches are kept: the test shows too little", kept)
	}
	var status report.Status
	c.ktauditExits(1, &status, "status", "--to", fmt.Sprint(epochs)) // two are rejected
	if status.VerifiedCount != epochs-2 || status.RejectedCount != 2 {
		t.Errorf("status is %+v", status)
	}
	c.ktaudit(nil, "reverify", "--from", "1", "--to", fmt.Sprint(epochs))
}

// limitFiles lets no file of a process grow beyond so many bytes.
func (p *process) limitFiles(size uint64) {
	p.c.t.Helper()
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: size, Max: unix.RLIM_INFINITY}, nil); err != nil {
		p.c.t.Fatalf("%s: %v", p.name, err)
	}
}
