package main

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/jobs/report"
)

var (
	chaosEpochs = flag.Uint64("chaos-epochs", 200, "epochs that the tests with killed workers audit")
	chaosKill   = flag.Duration("chaos-kill-every", 300*time.Millisecond, "least pause between two SIGKILLs of a worker")
)

// TestKilledWorkers audits a log with a real Redis, a real S3 server and two worker processes, one
// of which is killed with SIGKILL again and again and started anew. Every epoch must get its
// verdict, and no verdict may ever change.
func TestKilledWorkers(t *testing.T) {
	t.Parallel()
	c := startKilling(t, "killed")
	c.enqueue(*chaosEpochs, 0)
	c.work(nil)
	c.check()
	c.enqueue(0, *chaosEpochs)
}

// TestLostRedis is TestKilledWorkers with a Redis that loses everything half-way and is filled
// again by enqueue.
func TestLostRedis(t *testing.T) {
	t.Parallel()
	c := startKilling(t, "lost")
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

// killing is an audit of an honest log whose workers are killed.
type killing struct {
	*chaos
	redis *testservers.RedisServer
}

func startKilling(t *testing.T, name string) *killing {
	t.Helper()
	redis, s3 := testservers.Redis(t), testservers.S3(t)
	c := &killing{newChaos(t, s3.BucketDir(name+"-audit"), append(testservers.S3Env(), "KTAUDIT_REDIS="+redis.URL(),
		"KTAUDIT_LOG_DIRECTORY="+s3.BucketURL(name+"-log"), "KTAUDIT_AUDIT_STORE="+s3.BucketURL(name+"-audit"))...), redis}
	c.ktaudit(nil, "simulate", "--epochs", fmt.Sprint(*chaosEpochs), "--first-load", "2000", "--insertions", "300")
	return c
}

// work runs two workers until every epoch has a verdict, kills one of them again and again, and
// calls during, if it is not nil, with the number of verdicts so far. Between two kills there are
// more new verdicts than a kill costs epochs: those come back after a minute or two, and on a slow
// machine most of them would be killed again, and again.
func (c *killing) work(during func(verdicts uint64)) {
	c.t.Helper()
	const between = 4 // verdicts; a kill costs two epochs at most
	worker := []string{"worker", "--concurrency", "2"}
	steady, victim := c.start("steady", worker...), c.start("victim", worker...)
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
			if written < writtenAtKill+between {
				continue
			}
			writtenAtKill = written
			victim.kill()
			victim.start()
			kills++
		case <-look.C:
			c.verdicts.look()
			written = c.verdicts.count()
			if during != nil {
				during(written)
			}
			if written >= *chaosEpochs {
				c.t.Logf("%d verdicts after %.1f s and %d kills", written, time.Since(start).Seconds(), kills)
				if kills == 0 {
					c.t.Error("no worker was killed: the test shows nothing")
				}
				c.stop(steady, victim)
				return
			}
		case <-deadline:
			c.t.Fatalf("%d of %d verdicts after %.1f s and %d kills", written, *chaosEpochs, time.Since(start).Seconds(), kills)
		}
	}
}

// check wants each epoch to have one verdict, verified, and the same as when it was first seen.
func (c *killing) check() {
	c.t.Helper()
	c.checkLogs()
	c.verdicts.check(*chaosEpochs)
	var status report.Status
	c.ktaudit(&status, "status")
	if status.Head != *chaosEpochs || status.VerifiedCount != *chaosEpochs {
		c.t.Errorf("status is %+v, want all of %d epochs verified", status, *chaosEpochs)
	}
}
