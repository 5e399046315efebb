//go:build unix

package worker

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
)

// judged waits until all epochs have a verdict, and returns how long that took.
func judged(t *testing.T, store *auditstore.Store, epochs uint64) time.Duration {
	t.Helper()
	began := time.Now()
	jobstest.Eventually(t, "all verdicts", func() bool {
		s, err := report.ReadStatus(t.Context(), store, jobstest.Namespace, verdict.Anchor{}, 1, epochs)
		return err == nil && s.MissingCount == 0
	})
	return time.Since(began)
}

// inFlight waits until a worker has some epochs and nobody else is at work.
func inFlight(t *testing.T, r *queue.Redis, n int) {
	t.Helper()
	jobstest.Eventually(t, "epochs in flight", func() bool {
		c, err := queuetest.Counts(r, queue.Backfill)
		return err == nil && c.Active == n
	})
}

// The epochs of a killed worker are judged by another within twenty seconds, without a scheduler
// and with nothing enqueued again. Those of one that was only paused are, too, and when it goes on
// it has given them up.
func TestAbandonedEpochsComeBack(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		stop syscall.Signal
	}{{"killed", syscall.SIGKILL}, {"paused", syscall.SIGSTOP}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			const epochs = 4
			dir, store := logOnDisk(t, epochs)
			server := testservers.Redis(t)
			r := queuetest.Connect(t, server.URL())
			queuetest.MustPut(t, r, queue.Backfill, 1, epochs, queue.EnqueueCounts{Enqueued: epochs})
			lines := &verdictLines{counts: map[uint64]int{}}
			first := start(t, helper{Dir: dir, Redis: server.URL(), Slow: 5 * time.Second}, lines)
			inFlight(t, r, epochs)
			if err := first.cmd.Process.Signal(test.stop); err != nil {
				t.Fatal(err)
			}
			start(t, helper{Dir: dir, Redis: server.URL()}, lines)
			took := judged(t, store, epochs)
			t.Logf("all epochs of the worker that was %s have a verdict after %s", test.name, took.Round(100*time.Millisecond))
			if took < queue.GiveUpAfter {
				t.Errorf("after %s: the worker may still have been at it", took)
			}
			if limit := 40 * time.Second; took > limit { // 16 to 18 s on a machine with nothing else to do
				t.Errorf("after %s, want less than %s", took, limit)
			}
			_ = first.cmd.Process.Signal(syscall.SIGCONT)
			jobstest.Eventually(t, "an empty queue", func() bool { return queueIsEmpty(t, r) })
			if test.stop == syscall.SIGSTOP {
				jobstest.Eventually(t, "the first worker gives up", func() bool { return lines.gaveUp.Load() })
				_ = first.cmd.Process.Signal(syscall.SIGTERM)
				<-first.ended
			}
			checkAllJudged(t, store, epochs)
			lines.check(t)
		})
	}
}

// A cluster's master dies, and workers go on once its replica has taken over, which takes Redis
// itself its cluster-node-timeout (here 2 s) and about a second.
func TestClusterMasterDies(t *testing.T) {
	t.Parallel()
	const epochs = 1000
	cluster := testservers.NewRedisCluster(t, 2*time.Second)
	dir, _ := logOnDisk(t, epochs)
	r := queuetest.Connect(t, cluster.URL())
	queuetest.MustPut(t, r, queue.Backfill, 1, epochs, queue.EnqueueCounts{Enqueued: epochs})
	lines := &verdictLines{counts: map[uint64]int{}}
	start(t, helper{Dir: dir, Redis: cluster.URL(), Slow: 20 * time.Millisecond}, lines)
	jobstest.Eventually(t, "some verdicts", func() bool { return lines.len() > 10 })
	if err := r.Probe(t.Context(), jobstest.Namespace); err != nil {
		t.Fatal(err)
	}

	master, replica := cluster.MasterOf(t, queue.Key(queuetest.Backfill, "pending"))
	master.Kill()
	killed := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := r.Probe(ctx, jobstest.Namespace); err == nil {
		t.Error("the probe of the queue's own slot succeeds without its master")
	}
	jobstest.Eventually(t, "the replica takes over", func() bool {
		return strings.HasPrefix(replica.Do(t, "info", "replication"), "# Replication\r\nrole:master")
	})
	own := time.Since(killed)
	before := lines.len() // what was in flight included
	jobstest.Eventually(t, "verdicts go on", func() bool { return lines.len() > before+8 })
	took := time.Since(killed)
	t.Logf("the replica takes over %s after its master died, workers go on after %s", own.Round(100*time.Millisecond), took.Round(100*time.Millisecond))
	if limit := 30 * time.Second; took > limit { // 5 to 6 s on a machine with nothing else to do; 57 s without reloadEvery
		t.Errorf("workers go on after %s, want less than %s", took, limit)
	}
	if err := r.Probe(t.Context(), jobstest.Namespace); err != nil {
		t.Error(err)
	}
}
