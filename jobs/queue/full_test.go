package queue_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/redisclient"
	"github.com/rs/zerolog"
)

// A full Redis takes no epoch more, says so, and is drained by workers, those whose time to be
// tried again has come included.
func TestFullRedisIsDrained(t *testing.T) {
	t.Parallel()
	server := testservers.Redis(t)
	r := queuetest.Connect(t, server.URL())
	queuetest.MustEnqueue(t, queuetest.Enqueuer(r), 1, 200, queue.EnqueueCounts{Enqueued: 200})
	queuetest.WaitIn(t, r, queue.Backfill, 1, 2, 3)
	for epoch := range uint64(3) {
		queuetest.Do(t, r, "ZADD", queue.Key(queuetest.Backfill, "retry"), time.Now().Unix(), queue.Task{Namespace: jobstest.Namespace, Epoch: epoch + 1}.ID())
	}
	server.Do(t, "config", "set", "maxmemory", "1")

	_, err := queuetest.Enqueuer(r).Enqueue(t.Context(), 201, 201, nil)
	if err == nil || !strings.Contains(err.Error(), "is full") {
		t.Errorf("enqueuing ends with %v", err)
	}
	var refused *redisclient.RefusedError
	if err := r.Probe(t.Context(), jobstest.Namespace); !errors.As(err, &refused) || refused.Brief() != "full" || errors.Is(err, redisclient.ErrUnusable) {
		t.Errorf("the probe ends with %v", err)
	}

	var done atomic.Int64
	var log syncBuffer
	asynqServer := asynq.NewServerFromRedisClient(r.Client, asynq.Config{
		Concurrency: 4, Queues: map[string]int{queuetest.Backfill: 1, queue.Name(jobstest.Namespace, queue.Fresh): 1}, TaskCheckInterval: 10 * time.Millisecond, DelayedTaskCheckInterval: 50 * time.Millisecond,
		LogLevel: asynq.WarnLevel, Logger: lines{&log},
	})
	held := make(chan struct{})
	if err := asynqServer.Start(asynq.HandlerFunc(func(ctx context.Context, _ *asynq.Task) error {
		if done.Add(1) == 10 { // goes on past a renewal of its lease
			<-held
		}
		return ctx.Err()
	})); err != nil {
		t.Fatal(err)
	}
	defer asynqServer.Shutdown()
	jobstest.Eventually(t, "all but one are done", func() bool { return done.Load() == 200 })
	lease := func() float64 {
		all := r.Client.ZRangeWithScores(t.Context(), queue.Key(queuetest.Backfill, "lease"), 0, -1).Val()
		if len(all) != 1 {
			return 0
		}
		return all[0].Score
	}
	jobstest.Eventually(t, "the others have left the queue", func() bool { return lease() != 0 })
	first := lease()
	jobstest.Eventually(t, "the last one's lease is renewed", func() bool { return lease() > first })
	if workers, err := r.LiveWorkers(jobstest.Namespace); err != nil || workers[jobstest.Namespace] != 1 {
		t.Errorf("live workers: %v, %v", workers, err)
	}
	close(held)
	jobstest.Eventually(t, "the queue is empty", func() bool {
		n, err := r.Waiting(t.Context(), jobstest.Namespace, queue.Backfill)
		return err == nil && n == 0
	})
	if text := log.String(); text != "" {
		t.Errorf("asynq complains: %s", text)
	}
}

// lines is an asynq logger.
type lines struct{ to *syncBuffer }

func (l lines) Debug(args ...any) {}
func (l lines) Info(args ...any)  {}
func (l lines) Warn(args ...any)  { fmt.Fprintln(l.to, args...) }
func (l lines) Error(args ...any) { fmt.Fprintln(l.to, args...) }
func (l lines) Fatal(args ...any) { fmt.Fprintln(l.to, args...) }

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// What Redis refuses is told of in words, each trouble once.
func TestTroubles(t *testing.T) {
	t.Parallel()
	server, master := testservers.Redis(t), testservers.Redis(t)
	var log syncBuffer
	r, err := queue.Connect(t.Context(), server.URL(), zerolog.New(&log))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.TellOutages(zerolog.New(&log))
	probe := func() error { return r.Probe(t.Context(), jobstest.Namespace) }
	if err := probe(); err != nil {
		t.Fatal(err)
	}
	host, port, _ := strings.Cut(master.Addr(), ":")
	server.Do(t, "replicaof", host, port)
	var refused *redisclient.RefusedError
	for range 3 {
		if err := probe(); !errors.As(err, &refused) || refused.Brief() != "read-only" || !errors.Is(err, redisclient.ErrUnusable) {
			t.Errorf("a replica: %v", err)
		}
	}
	server.Do(t, "replicaof", "no", "one")
	server.Do(t, "acl", "setuser", "default", "-set")
	if err := probe(); !errors.As(err, &refused) || refused.Brief() != "forbidden" {
		t.Errorf("a missing right: %v", err)
	}
	server.Do(t, "acl", "setuser", "default", "+set")
	server.Kill()
	for range 3 {
		if err := probe(); err == nil || errors.As(err, &refused) {
			t.Errorf("a server that is gone: %v", err)
		}
	}
	if !r.FailedLately() {
		t.Error("nothing failed lately")
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	jobstest.Eventually(t, "its end is told", func() bool { return probe() == nil && strings.Contains(log.String(), "no longer unreachable") })
	for text, want := range map[string]int{"Redis is read-only": 1, "Redis is forbidden": 1, "Redis is unreachable; nothing is lost": 1, "no longer unreachable": 1} {
		if got := strings.Count(log.String(), text); got != want {
			t.Errorf("%q is told of %d times: %s", text, got, log.String())
		}
	}
}
