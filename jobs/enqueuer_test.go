package jobs

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/rs/zerolog"

	"github.com/hibiken/asynq"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/redis/go-redis/v9"
)

func enqueuer(r *Redis) *Enqueuer { return &Enqueuer{Redis: r, Namespace: testNamespace} }

var backfillQueue = Queue(testNamespace, Backfill)

func mustEnqueue(t *testing.T, e *Enqueuer, from, to uint64, want Counts) {
	t.Helper()
	got, err := e.Enqueue(t.Context(), from, to, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Fatalf("enqueuing %d to %d: %+v, want %+v", from, to, got, want)
	}
}

func TestEnqueueTwiceEnqueuesOnce(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		mustEnqueue(t, enqueuer(r), 1, 2500, Counts{Enqueued: 2500})
		mustEnqueue(t, enqueuer(r), 1, 2500, Counts{AlreadyQueued: 2500})
		mustEnqueue(t, enqueuer(r), 2400, 2600, Counts{Enqueued: 100, AlreadyQueued: 101})
		fresh := &Enqueuer{Redis: r, Namespace: testNamespace, Class: Fresh}
		mustEnqueue(t, fresh, 2600, 2601, Counts{Enqueued: 1, AlreadyQueued: 1})
		other := &Enqueuer{Redis: r, Namespace: "other.v1"}
		mustEnqueue(t, other, 1, 3, Counts{Enqueued: 3})
		for queue, want := range map[string]int64{backfillQueue: 2600, Queue(testNamespace, Fresh): 1, Queue("other.v1", Backfill): 3} {
			if n := r.client.LLen(t.Context(), queueKey(queue, "pending")).Val(); n != want {
				t.Errorf("%s has %d tasks, want %d", queue, n, want)
			}
		}
	})
}

func TestEnqueuersSideBySide(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		results := make(chan Counts, 4)
		for range cap(results) {
			go func() {
				c, err := enqueuer(r).Enqueue(context.Background(), 1, 600, nil)
				if err != nil {
					t.Error(err)
				}
				results <- c
			}()
		}
		var sum Counts
		for range cap(results) {
			c := <-results
			sum.Enqueued += c.Enqueued
			sum.AlreadyQueued += c.AlreadyQueued
			sum.Revived += c.Revived
		}
		if want := (Counts{Enqueued: 600, AlreadyQueued: 1800}); sum != want {
			t.Errorf("together %+v, want %+v", sum, want)
		}
	})
}

func TestEnqueueLeavesOutJudgedEpochs(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		store := auditstore.New(openMemory(t))
		for _, epoch := range []uint64{1, 2, 999, 1000, 2500, 20_000} {
			putVerdict(t, store, epoch, "")
		}
		e := &Enqueuer{Redis: r, Namespace: testNamespace, Judged: judgedRuns(store)}
		mustEnqueue(t, e, 2, 2500, Counts{Enqueued: 2499 - 4, AlreadyJudged: 4})
		if n := r.client.Exists(t.Context(), queueKey(backfillQueue, "t:"+Task{testNamespace, 999}.ID())).Val(); n != 0 {
			t.Error("epoch 999 is queued, and has a verdict")
		}
		mustEnqueue(t, e, 1, 2, Counts{AlreadyJudged: 2})
	})
}

// Run again and again, as by cron, it brings a range to an end, with no more than a window on the queue.
func TestEnqueueKeepsToItsWindow(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		store := auditstore.New(openMemory(t))
		e := &Enqueuer{Redis: r, Namespace: testNamespace, Judged: judgedRuns(store), Window: 300}
		const to = 1100 // across shards
		mustEnqueue(t, e, 1, to, Counts{Enqueued: 300, Next: 301})
		mustEnqueue(t, e, 1, to, Counts{AlreadyQueued: 300, Next: 301})
		judge := func(from, to uint64) {
			t.Helper()
			for epoch := from; epoch <= to; epoch++ {
				putVerdict(t, store, epoch, "")
				do(t, r, "LREM", queueKey(backfillQueue, "pending"), "1", Task{testNamespace, epoch}.ID())
				do(t, r, "DEL", queueKey(backfillQueue, "t:"+Task{testNamespace, epoch}.ID()))
			}
		}
		judge(1, 250)
		judge(290, 290) // workers finish in no order
		mustEnqueue(t, e, 1, to, Counts{AlreadyJudged: 251, AlreadyQueued: 49, Enqueued: 251, Next: 552})
		if n := r.client.LLen(t.Context(), queueKey(backfillQueue, "pending")).Val(); n != 300 {
			t.Errorf("%d epochs are on the queue, want 300", n)
		}
		for from := uint64(251); from <= to; {
			c, err := e.Enqueue(t.Context(), 1, to, nil)
			must(t, err)
			if n := r.client.LLen(t.Context(), queueKey(backfillQueue, "pending")).Val(); n > 300 {
				t.Fatalf("%d epochs are on the queue", n)
			}
			end := min(to, from+299)
			judge(from, end)
			from = end + 1
			if from > to && c.Next != 0 {
				t.Errorf("all are on the queue or done, and %+v", c)
			}
		}
		mustEnqueue(t, e, 1, to, Counts{AlreadyJudged: to})
	})
}

// What lies behind the window is not looked at, whether it is sealed or not.
func TestEnqueueCountsUpToItsWindow(t *testing.T) {
	t.Parallel()
	store := auditstore.New(openMemory(t))
	verify(t, store, span(1000, 1999)...)
	sealer := &Sealer{Store: store, Namespace: testNamespace, Log: zerolog.Nop()}
	if c, err := sealer.Seal(t.Context(), 1, 2500); err != nil || c.Sealed != 1 {
		t.Fatalf("%+v, %v, want one sealed shard", c, err)
	}
	e := &Enqueuer{Redis: embedded(t), Namespace: testNamespace, Judged: judgedRuns(store), Window: 300}
	mustEnqueue(t, e, 1, 2500, Counts{Enqueued: 300, Next: 301})
	mustEnqueue(t, e, 900, 2500, Counts{Enqueued: 300, AlreadyJudged: 1000, Next: 2200})
}

func TestEnqueueRefuses(t *testing.T) {
	t.Parallel()
	r := connect(t, Embedded)
	for _, c := range [][2]uint64{{0, 5}, {6, 5}} {
		if _, err := enqueuer(r).Enqueue(t.Context(), c[0], c[1], nil); err == nil {
			t.Errorf("%d to %d: no error", c[0], c[1])
		}
	}
	climbing := &Enqueuer{Redis: r, Namespace: "a}:x"}
	if _, err := climbing.Enqueue(t.Context(), 1, 1, nil); err == nil {
		t.Error("a namespace with a brace: no error")
	}
}

func TestEnqueueStopsWithItsContext(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		ctx, cancel := context.WithCancel(t.Context())
		counts, err := enqueuer(r).Enqueue(ctx, 1, 1<<39, func(c Counts) {
			if c.Enqueued > 0 {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) || counts.Enqueued == 0 {
			t.Errorf("%+v, %v", counts, err)
		}
	})
}

// What asynq leaves in the way of a task ID, and what is to become of it. Epochs 1 and 3 are good neighbours.
func TestEnqueueRevivesWhatWillNeverRun(t *testing.T) {
	t.Parallel()
	key := func(what string) string { return queueKey(backfillQueue, what) }
	id := Task{testNamespace, 2}.ID()
	now := func() float64 { return float64(time.Now().Unix()) }
	revived := Counts{AlreadyQueued: 2, Revived: 1}
	queued := Counts{AlreadyQueued: 3}
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, r *Redis)
		want  Counts
	}{
		{"archived", func(t *testing.T, r *Redis) {
			if err := r.inspector().ArchiveTask(backfillQueue, id); err != nil {
				t.Fatal(err)
			}
		}, revived},
		{"pending, in no list", func(t *testing.T, r *Redis) {
			do(t, r, "LREM", key("pending"), 0, id)
			do(t, r, "HSET", key("t:"+id), "pending_since", time.Now().Add(-time.Hour).UnixNano())
		}, revived},
		{"active, lease lost", func(t *testing.T, r *Redis) {
			do(t, r, "LREM", key("pending"), 0, id)
			do(t, r, "HSET", key("t:"+id), "state", "active")
		}, revived},
		{"active, worker dead", func(t *testing.T, r *Redis) {
			do(t, r, "LREM", key("pending"), 0, id)
			do(t, r, "LPUSH", key("active"), id)
			do(t, r, "ZADD", key("lease"), now()-60, id)
			do(t, r, "HSET", key("t:"+id), "state", "active")
		}, revived},
		{"active, worker dead, by a wrong clock", func(t *testing.T, r *Redis) {
			do(t, r, "LREM", key("pending"), 0, id)
			do(t, r, "LPUSH", key("active"), id)
			do(t, r, "ZADD", key("lease"), now()+7200, id)
			do(t, r, "HSET", key("t:"+id), "state", "active")
		}, revived},
		{"active, worker alive", func(t *testing.T, r *Redis) {
			do(t, r, "LREM", key("pending"), 0, id)
			do(t, r, "LPUSH", key("active"), id)
			do(t, r, "ZADD", key("lease"), now()+20, id)
			do(t, r, "HSET", key("t:"+id), "state", "active")
		}, queued},
		{"to be retried", func(t *testing.T, r *Redis) {
			do(t, r, "LREM", key("pending"), 0, id)
			do(t, r, "ZADD", key("retry"), now()+600, id)
			do(t, r, "HSET", key("t:"+id), "state", "retry")
		}, queued},
		{"to be retried, by a wrong clock", func(t *testing.T, r *Redis) {
			do(t, r, "LREM", key("pending"), 0, id)
			do(t, r, "ZADD", key("retry"), now()+7200, id)
			do(t, r, "HSET", key("t:"+id), "state", "retry")
		}, revived},
		{"to be retried, in no list", func(t *testing.T, r *Redis) {
			do(t, r, "LREM", key("pending"), 0, id)
			do(t, r, "HSET", key("t:"+id), "state", "retry")
		}, revived},
		{"without its message", func(t *testing.T, r *Redis) {
			do(t, r, "LREM", key("pending"), 0, id)
			do(t, r, "HDEL", key("t:"+id), "msg")
		}, revived},
		{"without its state", func(t *testing.T, r *Redis) {
			do(t, r, "LREM", key("pending"), 0, id)
			do(t, r, "HDEL", key("t:"+id), "state")
		}, revived},
		{"in an unknown state", func(t *testing.T, r *Redis) {
			do(t, r, "LREM", key("pending"), 0, id)
			do(t, r, "HSET", key("t:"+id), "state", "aggregating")
		}, revived},
		{"completed, and without a verdict", func(t *testing.T, r *Redis) {
			do(t, r, "LREM", key("pending"), 0, id)
			do(t, r, "ZADD", key("completed"), now()+3600, id)
			do(t, r, "HSET", key("t:"+id), "state", "completed")
		}, revived},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			onEachRedis(t, func(t *testing.T, r *Redis) {
				mustEnqueue(t, enqueuer(r), 1, 3, Counts{Enqueued: 3})
				c.spoil(t, r)
				mustEnqueue(t, enqueuer(r), 1, 3, c.want)
				mustEnqueue(t, enqueuer(r), 1, 3, Counts{AlreadyQueued: 3})
			})
		})
	}
}

func TestEnqueueGivesUpOnWreckage(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		task := Task{testNamespace, 2}
		for n := range maxGenerations {
			do(t, r, "HSET", queueKey(backfillQueue, "t:"+task.generation(n)), "state", "active")
		}
		if _, err := enqueuer(r).Enqueue(t.Context(), 2, 2, nil); err == nil {
			t.Error("no error")
		}
	})
}

func TestEnqueueHealsALostRedis(t *testing.T) {
	t.Parallel()
	server := testservers.Redis(t)
	r := connect(t, server.URL())
	mustEnqueue(t, enqueuer(r), 1, 1200, Counts{Enqueued: 1200})
	server.Kill()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	mustEnqueue(t, enqueuer(r), 1, 1200, Counts{Enqueued: 1200})
	counts, err := queueCounts(r, Backfill)
	if err != nil || counts.Pending != 1200 {
		t.Errorf("%+v, %v", counts, err)
	}
}

// A Redis that is full refuses; it must neither hang nor lose anything silently.
func TestEnqueueIntoAFullRedis(t *testing.T) {
	t.Parallel()
	server := testservers.Redis(t, "--maxmemory", "3mb")
	r := connect(t, server.URL())
	counts, err := enqueuer(r).Enqueue(t.Context(), 1, 1_000_000, nil)
	if err == nil || counts.Enqueued == 0 {
		t.Fatalf("%+v, %v", counts, err)
	}
	if n := r.client.LLen(t.Context(), queueKey(backfillQueue, "pending")).Val(); uint64(n) < counts.Enqueued {
		t.Errorf("%d tasks, and %d are said to be enqueued", n, counts.Enqueued)
	}
}

// It runs alone, for the heap is everybody's.
func TestEnqueueTakesLittleMemory(t *testing.T) {
	const epochs = 50_000
	r := connect(t, testservers.Redis(t).URL())
	for _, want := range []Counts{{Enqueued: epochs}, {AlreadyQueued: epochs}} {
		before := liveHeap()
		var most uint64
		got, err := enqueuer(r).Enqueue(t.Context(), 1, epochs, func(Counts) { most = max(most, liveHeap()) })
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
		task := Task{testNamespace, epoch}
		for n := range 3 {
			if got, ok := epochOfID(testNamespace, task.generation(n)); !ok || got != epoch {
				t.Errorf("%s is of epoch %d, %v", task.generation(n), got, ok)
			}
		}
	}
	for _, id := range []string{"", "other/1", testNamespace + "/", testNamespace + "/x", testNamespace + "/-1", testNamespace + "1"} {
		if epoch, ok := epochOfID(testNamespace, id); ok {
			t.Errorf("%q is of epoch %d", id, epoch)
		}
	}
}

func TestEpochSet(t *testing.T) {
	t.Parallel()
	var set epochSet
	members := map[uint64]bool{0: true, 63: true, 64: true, 999: true, 1000: true, 1 << 40: true, 1<<64 - 1: true}
	for epoch := range members {
		set.add(epoch)
	}
	for epoch := range members {
		for _, e := range []uint64{epoch - 1, epoch, epoch + 1, epoch + 1000} {
			if set.has(e) != members[e] {
				t.Errorf("has(%d) is %v", e, set.has(e))
			}
		}
	}
}

func TestTasksAreTriedForEver(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		mustEnqueue(t, enqueuer(r), 7, 7, Counts{Enqueued: 1})
		info, err := r.inspector().GetTaskInfo(backfillQueue, Task{testNamespace, 7}.ID())
		if err != nil {
			t.Fatal(err)
		}
		task, err := parseTask(info.Payload)
		if err != nil || task != (Task{testNamespace, 7}) || info.Type != TypeAudit {
			t.Errorf("task is %s %+v, %v", info.Type, task, err)
		}
		if info.MaxRetry != maxRetry || info.Timeout != TaskTimeout || info.State != asynq.TaskStatePending {
			t.Errorf("task has %d retries, timeout %v, state %v", info.MaxRetry, info.Timeout, info.State)
		}
	})
}

func do(t *testing.T, r *Redis, args ...any) {
	t.Helper()
	if err := r.client.Do(t.Context(), args...).Err(); err != nil && err != redis.Nil {
		t.Fatalf("%v: %v", args, err)
	}
}
