package queue_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/seal"
	"github.com/rs/zerolog"
)

func TestEnqueueTwiceEnqueuesOnce(t *testing.T) {
	t.Parallel()
	queuetest.OnEachRedis(t, func(t *testing.T, r *queue.Redis) {
		queuetest.MustEnqueue(t, queuetest.Enqueuer(r), 1, 2500, queue.EnqueueCounts{Enqueued: 2500})
		queuetest.MustEnqueue(t, queuetest.Enqueuer(r), 1, 2500, queue.EnqueueCounts{AlreadyQueued: 2500})
		queuetest.MustEnqueue(t, queuetest.Enqueuer(r), 2400, 2600, queue.EnqueueCounts{Enqueued: 100, AlreadyQueued: 101})
		fresh := &queue.Enqueuer{Redis: r, Namespace: jobstest.Namespace, Class: queue.Fresh}
		queuetest.MustEnqueue(t, fresh, 2600, 2601, queue.EnqueueCounts{Enqueued: 1, AlreadyQueued: 1})
		other := &queue.Enqueuer{Redis: r, Namespace: "other.v1"}
		queuetest.MustEnqueue(t, other, 1, 3, queue.EnqueueCounts{Enqueued: 3})
		for name, want := range map[string]int64{queuetest.Backfill: 2600, queue.Name(jobstest.Namespace, queue.Fresh): 1, queue.Name("other.v1", queue.Backfill): 3} {
			if n := r.Client.LLen(t.Context(), queue.Key(name, "pending")).Val(); n != want {
				t.Errorf("%s has %d tasks, want %d", name, n, want)
			}
		}
	})
}

func TestEnqueuersSideBySide(t *testing.T) {
	t.Parallel()
	queuetest.OnEachRedis(t, func(t *testing.T, r *queue.Redis) {
		results := make(chan queue.EnqueueCounts, 4)
		for range cap(results) {
			go func() {
				c, err := queuetest.Enqueuer(r).Enqueue(context.Background(), 1, 600, nil)
				if err != nil {
					t.Error(err)
				}
				results <- c
			}()
		}
		var sum queue.EnqueueCounts
		for range cap(results) {
			c := <-results
			sum.Enqueued += c.Enqueued
			sum.AlreadyQueued += c.AlreadyQueued
			sum.Revived += c.Revived
		}
		if want := (queue.EnqueueCounts{Enqueued: 600, AlreadyQueued: 1800}); sum != want {
			t.Errorf("together %+v, want %+v", sum, want)
		}
	})
}

func TestEnqueueLeavesOutJudgedEpochs(t *testing.T) {
	t.Parallel()
	queuetest.OnEachRedis(t, func(t *testing.T, r *queue.Redis) {
		store := auditstore.New(jobstest.OpenMemory(t))
		for _, epoch := range []uint64{1, 2, 999, 1000, 2500, 20_000} {
			jobstest.PutVerdict(t, store, epoch, "")
		}
		e := &queue.Enqueuer{Redis: r, Namespace: jobstest.Namespace, Judged: queuetest.JudgedRuns(store)}
		queuetest.MustEnqueue(t, e, 2, 2500, queue.EnqueueCounts{Enqueued: 2499 - 4, AlreadyJudged: 4})
		if n := r.Client.Exists(t.Context(), queue.Key(queuetest.Backfill, "t:"+queue.Task{Namespace: jobstest.Namespace, Epoch: 999}.ID())).Val(); n != 0 {
			t.Error("epoch 999 is queued, and has a verdict")
		}
		queuetest.MustEnqueue(t, e, 1, 2, queue.EnqueueCounts{AlreadyJudged: 2})
	})
}

// Run again and again, as by cron, it brings a range to an end, with no more than a window on the
// queue.
func TestEnqueueKeepsToItsWindow(t *testing.T) {
	t.Parallel()
	queuetest.OnEachRedis(t, func(t *testing.T, r *queue.Redis) {
		store := auditstore.New(jobstest.OpenMemory(t))
		e := &queue.Enqueuer{Redis: r, Namespace: jobstest.Namespace, Judged: queuetest.JudgedRuns(store), Window: 300}
		const to = 1100 // across shards
		queuetest.MustEnqueue(t, e, 1, to, queue.EnqueueCounts{Enqueued: 300, Next: 301})
		queuetest.MustEnqueue(t, e, 1, to, queue.EnqueueCounts{AlreadyQueued: 300, Next: 301})
		judge := func(from, to uint64) {
			t.Helper()
			for epoch := from; epoch <= to; epoch++ {
				jobstest.PutVerdict(t, store, epoch, "")
				queuetest.Do(t, r, "LREM", queue.Key(queuetest.Backfill, "pending"), "1", queue.Task{Namespace: jobstest.Namespace, Epoch: epoch}.ID())
				queuetest.Do(t, r, "DEL", queue.Key(queuetest.Backfill, "t:"+queue.Task{Namespace: jobstest.Namespace, Epoch: epoch}.ID()))
			}
		}
		judge(1, 250)
		judge(290, 290) // workers finish in no order
		queuetest.MustEnqueue(t, e, 1, to, queue.EnqueueCounts{AlreadyJudged: 251, AlreadyQueued: 49, Enqueued: 251, Next: 552})
		if n := r.Client.LLen(t.Context(), queue.Key(queuetest.Backfill, "pending")).Val(); n != 300 {
			t.Errorf("%d epochs are on the queue, want 300", n)
		}
		for from := uint64(251); from <= to; {
			c, err := e.Enqueue(t.Context(), 1, to, nil)
			jobstest.Must(t, err)
			if n := r.Client.LLen(t.Context(), queue.Key(queuetest.Backfill, "pending")).Val(); n > 300 {
				t.Fatalf("%d epochs are on the queue", n)
			}
			end := min(to, from+299)
			judge(from, end)
			from = end + 1
			if from > to && c.Next != 0 {
				t.Errorf("all are on the queue or done, and %+v", c)
			}
		}
		queuetest.MustEnqueue(t, e, 1, to, queue.EnqueueCounts{AlreadyJudged: to})
	})
}

// What lies behind the window is not looked at, whether it is sealed or not.
func TestEnqueueCountsUpToItsWindow(t *testing.T) {
	t.Parallel()
	store := auditstore.New(jobstest.OpenMemory(t))
	jobstest.Verify(t, store, jobstest.Span(1000, 1999)...)
	sealer := &seal.Sealer{Store: store, Namespace: jobstest.Namespace, Log: zerolog.Nop()}
	if c, err := sealer.Seal(t.Context(), 1, 2500); err != nil || c.Sealed != 1 {
		t.Fatalf("%+v, %v, want one sealed shard", c, err)
	}
	e := &queue.Enqueuer{Redis: queuetest.Miniredis(t), Namespace: jobstest.Namespace, Judged: queuetest.JudgedRuns(store), Window: 300}
	queuetest.MustEnqueue(t, e, 1, 2500, queue.EnqueueCounts{Enqueued: 300, Next: 301})
	queuetest.MustEnqueue(t, e, 900, 2500, queue.EnqueueCounts{Enqueued: 300, AlreadyJudged: 1000, Next: 2200})
}

func TestEnqueueRefuses(t *testing.T) {
	t.Parallel()
	r := queuetest.Miniredis(t)
	for _, c := range [][2]uint64{{0, 5}, {6, 5}} {
		if _, err := queuetest.Enqueuer(r).Enqueue(t.Context(), c[0], c[1], nil); err == nil {
			t.Errorf("%d to %d: no error", c[0], c[1])
		}
	}
	climbing := &queue.Enqueuer{Redis: r, Namespace: "a}:x"}
	if _, err := climbing.Enqueue(t.Context(), 1, 1, nil); err == nil {
		t.Error("a namespace with a brace: no error")
	}
}

func TestEnqueueStopsWithItsContext(t *testing.T) {
	t.Parallel()
	queuetest.OnEachRedis(t, func(t *testing.T, r *queue.Redis) {
		ctx, cancel := context.WithCancel(t.Context())
		counts, err := queuetest.Enqueuer(r).Enqueue(ctx, 1, 1<<39, func(c queue.EnqueueCounts) {
			if c.Enqueued > 0 {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) || counts.Enqueued == 0 {
			t.Errorf("%+v, %v", counts, err)
		}
	})
}

// What asynq leaves in the way of a task ID, and what is to become of it. Epochs 1 and 3 are good
// neighbours.
func TestEnqueueRevivesWhatWillNeverRun(t *testing.T) {
	t.Parallel()
	key := func(what string) string { return queue.Key(queuetest.Backfill, what) }
	id := queue.Task{Namespace: jobstest.Namespace, Epoch: 2}.ID()
	now := func() float64 { return float64(time.Now().Unix()) }
	revived := queue.EnqueueCounts{AlreadyQueued: 2, Revived: 1}
	queued := queue.EnqueueCounts{AlreadyQueued: 3}
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, r *queue.Redis)
		want  queue.EnqueueCounts
	}{
		{"archived", func(t *testing.T, r *queue.Redis) {
			if err := r.Inspector().ArchiveTask(queuetest.Backfill, id); err != nil {
				t.Fatal(err)
			}
		}, revived},
		{"pending, in no list", func(t *testing.T, r *queue.Redis) {
			queuetest.Do(t, r, "LREM", key("pending"), 0, id)
			queuetest.Do(t, r, "HSET", key("t:"+id), "pending_since", time.Now().Add(-time.Hour).UnixNano())
		}, revived},
		{"active, lease lost", func(t *testing.T, r *queue.Redis) {
			queuetest.Do(t, r, "LREM", key("pending"), 0, id)
			queuetest.Do(t, r, "HSET", key("t:"+id), "state", "active")
		}, revived},
		{"active, worker dead", func(t *testing.T, r *queue.Redis) {
			queuetest.Do(t, r, "LREM", key("pending"), 0, id)
			queuetest.Do(t, r, "LPUSH", key("active"), id)
			queuetest.Do(t, r, "ZADD", key("lease"), now()-60, id)
			queuetest.Do(t, r, "HSET", key("t:"+id), "state", "active")
		}, revived},
		{"active, worker dead, by a wrong clock", func(t *testing.T, r *queue.Redis) {
			queuetest.Do(t, r, "LREM", key("pending"), 0, id)
			queuetest.Do(t, r, "LPUSH", key("active"), id)
			queuetest.Do(t, r, "ZADD", key("lease"), now()+7200, id)
			queuetest.Do(t, r, "HSET", key("t:"+id), "state", "active")
		}, revived},
		{"active, worker alive", func(t *testing.T, r *queue.Redis) {
			queuetest.Do(t, r, "LREM", key("pending"), 0, id)
			queuetest.Do(t, r, "LPUSH", key("active"), id)
			queuetest.Do(t, r, "ZADD", key("lease"), now()+20, id)
			queuetest.Do(t, r, "HSET", key("t:"+id), "state", "active")
		}, queued},
		{"to be retried", func(t *testing.T, r *queue.Redis) {
			queuetest.Do(t, r, "LREM", key("pending"), 0, id)
			queuetest.Do(t, r, "ZADD", key("retry"), now()+600, id)
			queuetest.Do(t, r, "HSET", key("t:"+id), "state", "retry")
		}, queued},
		{"to be retried, by a wrong clock", func(t *testing.T, r *queue.Redis) {
			queuetest.Do(t, r, "LREM", key("pending"), 0, id)
			queuetest.Do(t, r, "ZADD", key("retry"), now()+7200, id)
			queuetest.Do(t, r, "HSET", key("t:"+id), "state", "retry")
		}, revived},
		{"to be retried, in no list", func(t *testing.T, r *queue.Redis) {
			queuetest.Do(t, r, "LREM", key("pending"), 0, id)
			queuetest.Do(t, r, "HSET", key("t:"+id), "state", "retry")
		}, revived},
		{"without its message", func(t *testing.T, r *queue.Redis) {
			queuetest.Do(t, r, "LREM", key("pending"), 0, id)
			queuetest.Do(t, r, "HDEL", key("t:"+id), "msg")
		}, revived},
		{"without its state", func(t *testing.T, r *queue.Redis) {
			queuetest.Do(t, r, "LREM", key("pending"), 0, id)
			queuetest.Do(t, r, "HDEL", key("t:"+id), "state")
		}, revived},
		{"in an unknown state", func(t *testing.T, r *queue.Redis) {
			queuetest.Do(t, r, "LREM", key("pending"), 0, id)
			queuetest.Do(t, r, "HSET", key("t:"+id), "state", "aggregating")
		}, revived},
		{"completed, and without a verdict", func(t *testing.T, r *queue.Redis) {
			queuetest.Do(t, r, "LREM", key("pending"), 0, id)
			queuetest.Do(t, r, "ZADD", key("completed"), now()+3600, id)
			queuetest.Do(t, r, "HSET", key("t:"+id), "state", "completed")
		}, revived},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			queuetest.OnEachRedis(t, func(t *testing.T, r *queue.Redis) {
				queuetest.MustEnqueue(t, queuetest.Enqueuer(r), 1, 3, queue.EnqueueCounts{Enqueued: 3})
				c.spoil(t, r)
				queuetest.MustEnqueue(t, queuetest.Enqueuer(r), 1, 3, c.want)
				queuetest.MustEnqueue(t, queuetest.Enqueuer(r), 1, 3, queue.EnqueueCounts{AlreadyQueued: 3})
			})
		})
	}
}

func TestEnqueueGivesUpOnWreckage(t *testing.T) {
	t.Parallel()
	queuetest.OnEachRedis(t, func(t *testing.T, r *queue.Redis) {
		task := queue.Task{Namespace: jobstest.Namespace, Epoch: 2}
		for n := range queue.MaxGenerations {
			queuetest.Do(t, r, "HSET", queue.Key(queuetest.Backfill, "t:"+queue.Generation(task, n)), "state", "active")
		}
		if _, err := queuetest.Enqueuer(r).Enqueue(t.Context(), 2, 2, nil); err == nil {
			t.Error("no error")
		}
	})
}

func TestEnqueueHealsALostRedis(t *testing.T) {
	t.Parallel()
	server := testservers.Redis(t)
	r := queuetest.Connect(t, server.URL())
	queuetest.MustEnqueue(t, queuetest.Enqueuer(r), 1, 1200, queue.EnqueueCounts{Enqueued: 1200})
	server.Kill()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	queuetest.MustEnqueue(t, queuetest.Enqueuer(r), 1, 1200, queue.EnqueueCounts{Enqueued: 1200})
	counts, err := queuetest.Counts(r, queue.Backfill)
	if err != nil || counts.Pending != 1200 {
		t.Errorf("%+v, %v", counts, err)
	}
}

// A queue.Redis that is full refuses; it must neither hang nor lose anything silently.
func TestEnqueueIntoAFullRedis(t *testing.T) {
	t.Parallel()
	server := testservers.Redis(t, "--maxmemory", "3mb")
	r := queuetest.Connect(t, server.URL())
	counts, err := queuetest.Enqueuer(r).Enqueue(t.Context(), 1, 1_000_000, nil)
	if err == nil || counts.Enqueued == 0 {
		t.Fatalf("%+v, %v", counts, err)
	}
	if n := r.Client.LLen(t.Context(), queue.Key(queuetest.Backfill, "pending")).Val(); uint64(n) < counts.Enqueued {
		t.Errorf("%d tasks, and %d are said to be enqueued", n, counts.Enqueued)
	}
}

// It runs alone, for the heap is everybody's.
func TestEnqueueTakesLittleMemory(t *testing.T) {
	const epochs = 50_000
	r := queuetest.Connect(t, testservers.Redis(t).URL())
	for _, want := range []queue.EnqueueCounts{{Enqueued: epochs}, {AlreadyQueued: epochs}} {
		before := liveHeap()
		var most uint64
		got, err := queuetest.Enqueuer(r).Enqueue(t.Context(), 1, epochs, func(queue.EnqueueCounts) { most = max(most, liveHeap()) })
		if err != nil || got != want {
			t.Fatalf("%+v, %v", got, err)
		}
		if grown := int64(most - before); grown > 100*epochs {
			t.Errorf("heap grew by %d bytes, %d for each epoch", grown, grown/epochs)
		}
	}
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestTaskIDs(t *testing.T) {
	t.Parallel()
	for _, epoch := range []uint64{1, 1<<63 + 5} {
		task := queue.Task{Namespace: jobstest.Namespace, Epoch: epoch}
		for n := range 3 {
			if got, ok := queue.EpochOfID(jobstest.Namespace, queue.Generation(task, n)); !ok || got != epoch {
				t.Errorf("%s is of epoch %d, %v", queue.Generation(task, n), got, ok)
			}
		}
	}
	for _, id := range []string{"", "other/1", jobstest.Namespace + "/", jobstest.Namespace + "/x", jobstest.Namespace + "/-1", jobstest.Namespace + "1"} {
		if epoch, ok := queue.EpochOfID(jobstest.Namespace, id); ok {
			t.Errorf("%q is of epoch %d", id, epoch)
		}
	}
}

func TestTasksAreTriedForEver(t *testing.T) {
	t.Parallel()
	queuetest.OnEachRedis(t, func(t *testing.T, r *queue.Redis) {
		queuetest.MustEnqueue(t, queuetest.Enqueuer(r), 7, 7, queue.EnqueueCounts{Enqueued: 1})
		info, err := r.Inspector().GetTaskInfo(queuetest.Backfill, queue.Task{Namespace: jobstest.Namespace, Epoch: 7}.ID())
		if err != nil {
			t.Fatal(err)
		}
		task, err := queue.ParseTask(info.Payload)
		if err != nil || task != (queue.Task{Namespace: jobstest.Namespace, Epoch: 7}) || info.Type != queue.TypeAudit {
			t.Errorf("task is %s %+v, %v", info.Type, task, err)
		}
		if info.MaxRetry != queue.MaxRetry || info.Timeout != queue.TaskTimeout || info.State != asynq.TaskStatePending {
			t.Errorf("task has %d retries, timeout %v, state %v", info.MaxRetry, info.Timeout, info.State)
		}
	})
}
