package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/blobstore/s3list/s3listtest"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/verify"
	"github.com/ktaudit/ktaudit/jobs/worker"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/rs/zerolog"
	"gocloud.dev/blob"
)

var paceEpochs = flag.Uint64("pace-epochs", 40, "how many epochs the honest log of TestHostilePace has")

// paceMemory is the budget of each worker of TestHostilePace, paceSlots its slots.
const paceMemory, paceSlots = 64 << 20, 8

// TestHostilePace audits an honest log beside one of each hostile kind, in one process and with two
// workers on a real Redis. The honest log must come to its end while the other holds all it can,
// the memory set aside stays within the budget, and a task takes at most 1 KB of Redis. It prints
// how long the honest log took, which says little with few epochs; for figures:
//
//	go test ./cmd/ktaudit -run TestHostilePace -v -timeout 30m -pace-epochs 3000
func TestHostilePace(t *testing.T) { // not parallel: it measures
	garbage := strings.Repeat("no proof ", 100)
	digest := func(n int) string { return fmt.Sprintf("%064x", n) }
	publish := func(t *testing.T, b *blob.Bucket, epochs ...uint64) []uint64 {
		t.Helper()
		for i, epoch := range epochs {
			if err := b.WriteAll(t.Context(), fmt.Sprintf("%d/%s/%s", epoch, digest(i), digest(i+1)), []byte(garbage), nil); err != nil {
				t.Fatal(err)
			}
		}
		return epochs
	}
	upTo := func(n uint64) (all []uint64) {
		for epoch := uint64(1); epoch <= n; epoch++ {
			all = append(all, epoch)
		}
		return all
	}
	kinds := []struct {
		name  string
		setUp func(t *testing.T, b *blob.Bucket, s *s3listtest.Server) []uint64 // returns the epochs to enqueue
	}{
		{"alone", func(*testing.T, *blob.Bucket, *s3listtest.Server) []uint64 { return nil }},
		{"drip", func(t *testing.T, b *blob.Bucket, s *s3listtest.Server) []uint64 {
			s.Pretend(fmt.Sprintf("1/%s/%s", digest(0), digest(1)), 2<<30)
			s.Always(s3listtest.Objects("", s3listtest.Drip(1, 10*time.Second)))
			return publish(t, b, 1)
		}},
		{"forty slow", func(t *testing.T, b *blob.Bucket, s *s3listtest.Server) []uint64 {
			s.Always(s3listtest.Objects("", s3listtest.Drip(1, time.Second)))
			return publish(t, b, upTo(40)...)
		}},
		{"hanging lists", func(t *testing.T, b *blob.Bucket, s *s3listtest.Server) []uint64 {
			s.Always(s3listtest.Listings(s3listtest.Silence))
			return publish(t, b, upTo(40)...)
		}},
		{"huge ETags", func(t *testing.T, b *blob.Bucket, s *s3listtest.Server) []uint64 {
			var n atomic.Int64
			s.ETags(func(string, string) string { return fmt.Sprintf(`"%d%s"`, n.Add(1), strings.Repeat("\u202ex", 15<<10)) })
			return publish(t, b, upTo(40)...)
		}},
		{"junk", func(t *testing.T, b *blob.Bucket, s *s3listtest.Server) []uint64 {
			var epochs []uint64
			for n := uint64(2); len(epochs) < 38; n *= 2 {
				epochs = append(epochs, n)
			}
			return publish(t, b, epochs...)
		}},
		{"alone again", func(*testing.T, *blob.Bucket, *s3listtest.Server) []uint64 { return nil }},
	}
	honest := jobstest.OpenMemory(t)
	if _, err := simlog.Write(t.Context(), honest, nil, simlog.Options{Namespace: "honest", Epochs: *paceEpochs}, nil); err != nil {
		t.Fatal(err)
	}
	for workers := 1; workers <= 2; workers++ {
		alone := 0.0
		for _, kind := range kinds {
			t.Run(fmt.Sprintf("%d workers/%s", workers, kind.name), func(t *testing.T) {
				p := newPace(t, honest, workers)
				hostile := kind.setUp(t, p.hostile, p.server)
				pace := p.run(hostile)
				if kind.name == "alone" {
					alone = pace
				}
				t.Logf("%d worker(s), %-14s %7.1f epochs/s, %3.0f %% of alone; %3.0f MB heap, %2d MB reserved, tasks of %d bytes",
					workers, kind.name, pace, 100*pace/max(alone, math.SmallestNonzeroFloat64), float64(p.heap)/1e6, p.reserved>>20, p.largest)
			})
		}
	}
}

// pace is one audit of the honest log beside another.
type pace struct {
	t        *testing.T
	store    *auditstore.Store
	hostile  *blob.Bucket
	server   *s3listtest.Server // of the hostile log
	redis    *queue.Redis
	workers  []*worker.Worker
	budgets  []*verify.Budget
	heap     uint64 // at most
	reserved int64  // at most, by one worker
	largest  int    // task, in bytes
}

func newPace(t *testing.T, honest *blob.Bucket, workers int) *pace {
	t.Helper()
	p := &pace{t: t, store: auditstore.New(jobstest.OpenMemory(t)), hostile: jobstest.OpenMemory(t)}
	p.server = s3listtest.New(t, p.hostile)
	url := testservers.Redis(t).URL()
	logs := map[string]string{"honest": s3listtest.New(t, honest).BucketURL() + "?rate=10000", "hostile": p.server.BucketURL()}
	for range workers {
		redis, err := queue.Connect(t.Context(), url, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = redis.Close() })
		budget := verify.NewBudget(paceMemory)
		var auditors []*audit.Auditor
		for namespace, address := range logs {
			bucket, err := blobstore.OpenUnasked(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = bucket.Close() })
			a, err := audit.New(audit.Config{
				Namespace: namespace, Configuration: validator.WhatsAppV1(), Fetcher: fetcher.New(bucket, fetcher.Options{}), Store: p.store,
				First: 1, Budget: budget, Software: "ktaudit test", Log: zerolog.Nop(),
			})
			if err != nil {
				t.Fatal(err)
			}
			auditors = append(auditors, a)
		}
		w, err := worker.New(redis, auditors, worker.Config{
			Concurrency: paceSlots, ShutdownTimeout: time.Second, NotYetDelay: 30 * time.Second, MaxRetryDelay: 10 * time.Minute, PollInterval: 100 * time.Millisecond,
		}, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		p.redis, p.workers, p.budgets = redis, append(p.workers, w), append(p.budgets, budget)
	}
	return p
}

// run returns the honest log's epochs a second.
func (p *pace) run(hostile []uint64) float64 {
	p.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, len(p.workers))
	for _, w := range p.workers {
		go func() { ended <- w.Run(ctx) }()
	}
	defer func() {
		stop()
		for range p.workers {
			if err := <-ended; err != nil {
				p.t.Error(err)
			}
		}
	}()
	if _, err := p.redis.EnqueueEach(p.t.Context(), "hostile", queue.Backfill, func(send func(uint64) error) error {
		for _, epoch := range hostile {
			if err := send(epoch); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		p.t.Fatal(err)
	}
	if len(hostile) > 0 {
		jobstest.Eventually(p.t, "the hostile log is in work", func() bool { return len(p.server.Requests()) > 0 })
	}
	began := time.Now()
	e := queue.Enqueuer{Redis: p.redis, Namespace: "honest"}
	if _, err := e.Enqueue(p.t.Context(), 1, *paceEpochs, nil); err != nil {
		p.t.Fatal(err)
	}
	p.wait()
	took := time.Since(began)
	p.measureTasks(hostile)
	return float64(*paceEpochs) / took.Seconds()
}

// wait waits for the honest log's verdicts, without a limit of its own: the test has one.
func (p *pace) wait() {
	p.t.Helper()
	for n := uint64(0); n < *paceEpochs; {
		n = 0
		for shard := range *paceEpochs/1000 + 1 {
			epochs, err := p.store.Epochs(p.t.Context(), "honest", shard)
			if err != nil {
				p.t.Fatal(err)
			}
			n += uint64(len(epochs))
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		p.heap = max(p.heap, m.HeapInuse)
		for _, budget := range p.budgets {
			p.reserved = max(p.reserved, budget.Reserved())
			if budget.Reserved() > budget.Size() {
				p.t.Errorf("%d bytes are set aside of %d", budget.Reserved(), budget.Size())
			}
		}
		select {
		case <-p.t.Context().Done():
			p.t.Fatal("the test ends before the honest log")
		case <-time.After(20 * time.Millisecond): // between two looks
		}
	}
}

// measureTasks looks at the tasks in Redis.
func (p *pace) measureTasks(epochs []uint64) {
	p.t.Helper()
	for _, epoch := range epochs {
		key := queue.Key(queue.Name("hostile", queue.Backfill), "t:"+queue.Task{Namespace: "hostile", Epoch: epoch}.ID())
		size, err := p.redis.Client.MemoryUsage(p.t.Context(), key).Result()
		if err != nil {
			continue // it is done
		}
		if p.largest = max(p.largest, int(size)); size > 1<<10 {
			p.t.Errorf("the task of epoch %d takes %d bytes of Redis", epoch, size)
		}
	}
}
