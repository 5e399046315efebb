package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/jobs"
)

var (
	chaosEpochs = flag.Uint64("chaos-epochs", 200, "epochs that the tests with killed workers audit")
	chaosKill   = flag.Duration("chaos-kill-every", 300*time.Millisecond, "least pause between two SIGKILLs of a worker")
)

// TestKilledWorkers audits a log with a real Redis, a real S3 server and two worker processes, one of which is killed
// with SIGKILL again and again and started anew. Every epoch must get its verdict, and no verdict may ever change.
func TestKilledWorkers(t *testing.T) {
	t.Parallel()
	c := startChaos(t, "killed")
	c.enqueue(*chaosEpochs, 0)
	c.work(nil)
	c.check()
	c.enqueue(0, *chaosEpochs)
}

// TestLostRedis is TestKilledWorkers with a Redis that loses everything half-way and is filled again by enqueue.
func TestLostRedis(t *testing.T) {
	t.Parallel()
	c := startChaos(t, "lost")
	c.enqueue(*chaosEpochs, 0)
	lost := false
	c.work(func(verdicts uint64) {
		if lost || verdicts < *chaosEpochs/2 {
			return
		}
		lost = true
		c.redis.Kill()
		if err := c.redis.Start(); err != nil {
			t.Fatal(err)
		}
		counts := c.enqueueAgain()
		t.Logf("Redis lost with %d verdicts written; enqueued again: %+v", verdicts, counts)
	})
	if !lost {
		t.Error("all verdicts were written before Redis was lost: the test shows nothing")
	}
	c.check()
	c.enqueue(0, *chaosEpochs)
}

// chaos is one audit that is interfered with.
type chaos struct {
	t        *testing.T
	redis    *testservers.RedisServer
	dir      string
	env      []string
	verdicts string                 // the folder behind the audit store's bucket where verdicts appear
	seen     map[string]fileVersion // every verdict as it was when it was first seen
}

// fileVersion tells one state of a file from another.
type fileVersion struct {
	hash    [sha256.Size]byte
	written time.Time
}

const chaosNamespace = "chaos.key-transparency.v1"

func startChaos(t *testing.T, name string) *chaos {
	t.Helper()
	redis, s3 := testservers.Redis(t), testservers.S3(t)
	c := &chaos{t: t, redis: redis, dir: t.TempDir(), seen: map[string]fileVersion{}}
	log, audit := s3.BucketURL(name+"-log"), s3.BucketURL(name+"-audit")
	c.verdicts = filepath.Join(s3.BucketDir(name+"-audit"), chaosNamespace, "verdicts")
	c.env = append(append(environment(c.dir), testservers.S3Env()...),
		"KTAUDIT_NAMESPACE="+chaosNamespace, "KTAUDIT_REDIS="+redis.URL(), "KTAUDIT_LOG_DIRECTORY="+log, "KTAUDIT_AUDIT_STORE="+audit)
	c.ktaudit(nil, "simulate", "--epochs", fmt.Sprint(*chaosEpochs), "--first-load", "2000", "--insertions", "300")
	return c
}

func (c *chaos) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(c.t.Context(), filepath.Join(binDir, "ktaudit"), args...)
	cmd.Dir, cmd.Env = c.dir, c.env
	return cmd
}

// ktaudit runs a command that must exit with 0 and reads its JSON into result.
func (c *chaos) ktaudit(result any, args ...string) {
	c.t.Helper()
	var stderr strings.Builder
	cmd := c.command(append(args, "--json")...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		c.t.Fatalf("ktaudit %q: %v\n%s%s", args, err, out, stderr.String())
	}
	if result != nil {
		if err := json.Unmarshal(out, result); err != nil {
			c.t.Fatalf("ktaudit %q prints %q: %v", args, out, err)
		}
	}
}

func (c *chaos) enqueueAgain() (counts jobs.Counts) {
	c.t.Helper()
	c.ktaudit(&counts, "enqueue", "--from", "1", "--to", fmt.Sprint(*chaosEpochs))
	return counts
}

// enqueue enqueues all epochs and wants to be told how many were new and how many have a verdict.
func (c *chaos) enqueue(enqueued, judged uint64) {
	c.t.Helper()
	if got, want := c.enqueueAgain(), (jobs.Counts{Enqueued: enqueued, AlreadyJudged: judged}); got != want {
		c.t.Errorf("enqueue counts %+v, want %+v", got, want)
	}
}

// work runs two workers until every epoch has a verdict, kills one of them again and again, and calls during, if it is
// not nil, with the number of verdicts so far. It does not kill twice without a new verdict in between: an epoch whose
// worker was killed comes back after a minute or two, and would be killed again, and again.
func (c *chaos) work(during func(verdicts uint64)) {
	c.t.Helper()
	steady := c.startWorker()
	victim := c.startWorker()
	kill := time.NewTicker(*chaosKill)
	look := time.NewTicker(50 * time.Millisecond)
	defer kill.Stop()
	defer look.Stop()
	kills, written, writtenAtKill := 0, uint64(0), uint64(0)
	start := time.Now()
	// A killed worker's epochs come back after up to two minutes.
	deadline := time.After(5*time.Minute + time.Duration(*chaosEpochs)*100*time.Millisecond)
	for {
		select {
		case <-kill.C:
			if written == writtenAtKill {
				continue
			}
			writtenAtKill = written
			_ = victim.Process.Kill() // it is running: it ends by no other way
			_ = victim.Wait()
			victim = c.startWorker()
			kills++
		case <-look.C:
			verdicts := c.look()
			written = verdicts
			if during != nil {
				during(verdicts)
			}
			if verdicts >= *chaosEpochs {
				c.t.Logf("%d verdicts after %.1f s and %d kills", verdicts, time.Since(start).Seconds(), kills)
				if kills == 0 {
					c.t.Error("no worker was killed: the test shows nothing")
				}
				c.stopWorker(steady)
				c.stopWorker(victim)
				return
			}
		case <-deadline:
			c.t.Fatalf("%d of %d verdicts after %.1f s and %d kills", len(c.seen), *chaosEpochs, time.Since(start).Seconds(), kills)
		}
	}
}

func (c *chaos) startWorker() *exec.Cmd {
	c.t.Helper()
	cmd := c.command("worker", "--concurrency", "2", "--log-level", "error")
	cmd.Stderr = &failOnPanic{t: c.t}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	return cmd
}

// stopWorker ends a worker as an operator would. It must exit with 0.
func (c *chaos) stopWorker(cmd *exec.Cmd) {
	c.t.Helper()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		c.t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		c.t.Errorf("worker that was told to stop: %v", err)
	}
}

// failOnPanic fails the test for workers that say they are defective.
type failOnPanic struct{ t *testing.T }

func (f *failOnPanic) Write(p []byte) (int, error) {
	if text := string(p); strings.Contains(text, "panic") || strings.Contains(text, "internal error") || strings.Contains(text, "DATA RACE") {
		f.t.Errorf("a worker says: %s", text)
	}
	return len(p), nil
}

var _ io.Writer = (*failOnPanic)(nil)

// look reads the verdicts that are new since the last time and returns how many there are.
func (c *chaos) look() uint64 {
	c.t.Helper()
	c.eachVerdict(func(path string, version fileVersion) {
		if _, ok := c.seen[path]; !ok {
			c.seen[path] = version
		}
	})
	return uint64(len(c.seen))
}

// check wants each epoch to have one verdict, verified, and the same as when it was first seen.
func (c *chaos) check() {
	c.t.Helper()
	epochs := map[uint64]bool{}
	c.eachVerdict(func(path string, version fileVersion) {
		if version != c.seen[path] {
			c.t.Errorf("%s was written twice", filepath.Base(path))
		}
		var v blobstore.Verdict
		data, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(data, &v)
		}
		if err != nil || v.Outcome != blobstore.Verified || epochs[v.Epoch] {
			c.t.Errorf("%s: error %v, %+v, want one verified epoch", filepath.Base(path), err, v)
		}
		epochs[v.Epoch] = true
	})
	if uint64(len(epochs)) != *chaosEpochs || uint64(len(c.seen)) != *chaosEpochs {
		c.t.Errorf("%d epochs have %d verdicts, want %d", len(epochs), len(c.seen), *chaosEpochs)
	}
	var status jobs.Status
	c.ktaudit(&status, "status")
	if status.Head != *chaosEpochs || status.VerifiedCount != *chaosEpochs {
		c.t.Errorf("status is %+v, want all of %d epochs verified", status, *chaosEpochs)
	}
}

// eachVerdict visits the verdicts that the S3 server keeps as files.
func (c *chaos) eachVerdict(visit func(path string, version fileVersion)) {
	c.t.Helper()
	err := filepath.WalkDir(c.verdicts, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".json" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		visit(path, fileVersion{sha256.Sum256(data), info.ModTime()})
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.t.Fatal(err)
	}
}
