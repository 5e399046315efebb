package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
)

var (
	backfillEpochs = flag.Uint64("backfill-epochs", 3000, "epochs that the backfill tests audit")
	backfillWindow = flag.Uint64("backfill-window", 500, "how many of them may be on the queue at once")
)

const (
	// backfillRecent is how many of the newest epochs are no history, and go on a queue of their
	// own.
	backfillRecent = 1000
	backfillKills  = 3
	// backfillReplicas is how many schedulers run, and how many workers.
	backfillReplicas = 2
)

// TestBackfill audits a log's history with real schedulers, workers and a real Redis, all of which
// are killed at once, at three random moments, and started again. Every epoch must have its verdict
// in the end and none may change; the queue must stay within its window. It prints what an epoch
// cost, tenth by tenth. For figures that mean something give it more:
//
//	go test ./cmd/ktaudit -run TestBackfill -v -parallel 1 -timeout 1h -backfill-epochs 100000 -backfill-window 10000
func TestBackfill(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		redis []string
	}{
		// The queue is empty after each kill, and all of it must come from the audit store.
		{"a Redis that forgets", nil},
		// The queue is as it was, with epochs that dead workers hold. They are free again when the
		// leases have run out.
		{"a Redis that remembers", []string{"--appendonly", "yes"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := startBackfill(t, c.redis...)
			b.run()
			b.check()
		})
	}
}

// backfill is one audit of a history.
type backfill struct {
	*chaos
	redis   *testservers.RedisServer
	running []*process
	record  *backfillRecord
	starts  int
}

func startBackfill(t *testing.T, redis ...string) *backfill {
	t.Helper()
	b := &backfill{chaos: newChaos(t, "audit", "KTAUDIT_CONFIG=ktaudit.yaml"), redis: testservers.Redis(t, redis...)}
	b.record = newBackfillRecord(t, b.redis.Addr())
	// A directory so large that the last epoch's proof is no longer than the first one's.
	b.ktaudit(nil, "simulate", "--log-directory", "log", "--epochs", fmt.Sprint(*backfillEpochs),
		"--insertions", "10", "--directory-size", "1000000")
	if err := os.Mkdir(filepath.Join(b.dir, "audit"), 0o755); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`
redis: %s
audit_store: audit
namespaces:
  - namespace: %s
    log_directory: log
    last: %d
    poll: 1s
    backfill: {from: 1, to: %d, window: %d}
`, b.redis.URL(), chaosNamespace, *backfillEpochs, *backfillEpochs, *backfillWindow)
	if err := os.WriteFile(filepath.Join(b.dir, "ktaudit.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return b
}

// run audits everything. It kills at random moments of the second, fourth and sixth tenth, so that
// each finds something done and leaves something to do.
func (b *backfill) run() {
	b.t.Helper()
	tenth := *backfillEpochs / 10
	var kills []uint64
	for i := range uint64(backfillKills) {
		kills = append(kills, tenth*(2*i+1)+rand.Uint64N(tenth))
	}
	b.record.begin()
	b.startAll()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	// The leases of killed workers run for half a minute. The machine may be busy with other
	// things.
	deadline := time.After(5*time.Minute + time.Duration(*backfillEpochs)*50*time.Millisecond)
	for {
		select {
		case <-look.C:
		case <-deadline:
			b.t.Fatalf("%d of %d epochs have a verdict, after %s", b.verdicts.count(), *backfillEpochs, b.record.elapsed())
		}
		b.verdicts.look()
		b.record.sample(b.verdicts.count(), b.running)
		switch {
		case b.verdicts.count() >= *backfillEpochs:
			b.record.print()
			b.awaitSeals()
			b.stop(b.running...)
			if len(kills) > 0 {
				b.t.Errorf("%d kills are left: the test shows too little", len(kills))
			}
			return
		case len(kills) > 0 && b.verdicts.count() >= kills[0]:
			kills = kills[1:]
			b.killAll()
			b.startAll()
		}
	}
}

// awaitSeals waits until the schedulers have sealed every full shard.
func (b *backfill) awaitSeals() {
	b.t.Helper()
	store, err := auditstore.Open(b.t.Context(), filepath.Join(b.dir, "audit"))
	if err != nil {
		b.t.Fatal(err)
	}
	defer store.Close()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	deadline := time.After(3 * time.Minute)
	for {
		h, err := store.History(b.t.Context(), chaosNamespace)
		switch {
		case err != nil:
			b.t.Fatal(err)
		case len(h.Spans) == 1 && h.Spans[0].From == 1 && h.Spans[0].To == b.sealed():
			b.t.Logf("sealed up to epoch %d after %.1f s", b.sealed(), b.record.elapsed().Seconds())
			return
		}
		select {
		case <-look.C:
		case <-deadline:
			b.t.Fatalf("not all is sealed that is full: %+v", h.Spans)
		}
	}
}

// sealed is the last epoch of the last full shard.
func (b *backfill) sealed() uint64 {
	return (*backfillEpochs+1)/verdict.EpochsPerShard*verdict.EpochsPerShard - 1
}

// startAll starts Redis and then the rest, in no order.
func (b *backfill) startAll() {
	b.t.Helper()
	if err := b.redis.Start(); err != nil {
		b.t.Fatal(err)
	}
	for _, i := range rand.Perm(2 * backfillReplicas) {
		role := []string{"scheduler", "worker"}[i%2]
		b.starts++
		b.running = append(b.running, b.start(fmt.Sprintf("%s-%d", role, b.starts), role))
	}
}

// killAll kills everything in no order.
func (b *backfill) killAll() {
	b.t.Helper()
	b.record.killing()
	for _, i := range rand.Perm(len(b.running) + 1) {
		if i == len(b.running) {
			b.redis.Kill()
			continue
		}
		if err := b.running[i].cmd.Process.Kill(); err != nil {
			b.t.Errorf("%s ended before it was killed: %v", b.running[i].name, err)
		}
	}
	for _, p := range b.running {
		<-p.exited
		b.record.ended(p)
	}
	b.running = nil
	b.verdicts.look()
	b.record.killed(b.verdicts.count())
}

// check wants one verdict for each epoch, verified, as it was when it was first seen.
func (b *backfill) check() {
	b.t.Helper()
	b.verdicts.check(*backfillEpochs)
	b.checkSaid()
	b.record.check()
	var status report.Status
	b.ktaudit(&status, "status", "--from", "1", "--to", fmt.Sprint(*backfillEpochs))
	if status.Head != *backfillEpochs || status.VerifiedCount != *backfillEpochs || status.SealedCount != b.sealed() || !status.Good() {
		b.t.Errorf("status is %+v, want all of %d epochs verified", status, *backfillEpochs)
	}
	var counts queue.EnqueueCounts
	b.ktaudit(&counts, "enqueue", "--from", "1", "--to", fmt.Sprint(*backfillEpochs))
	if want := (queue.EnqueueCounts{AlreadyJudged: *backfillEpochs}); counts != want {
		b.t.Errorf("enqueue counts %+v, want %+v", counts, want)
	}
}

// checkSaid wants every line that was said to be whole, and no two processes to have written a
// verdict on the same epoch.
func (b *backfill) checkSaid() {
	b.t.Helper()
	b.checkLogs()
	logs := b.readLogs()
	if want := (1 + backfillKills) * 2 * backfillReplicas; len(logs) != want {
		b.t.Fatalf("%d logs, want %d", len(logs), want)
	}
	verified := map[uint64]bool{}
	for name, text := range logs {
		for line := range strings.Lines(text) {
			var said struct {
				Message string
				Epoch   uint64
			}
			switch err := json.Unmarshal([]byte(line), &said); {
			case err != nil && strings.HasSuffix(line, "\n") && !strings.HasPrefix(line, "warning: "):
				b.t.Errorf("%s: %s", name, line)
			case said.Message == "epoch verified":
				if verified[said.Epoch] {
					b.t.Errorf("%s: a second verdict: %s", name, line)
				}
				verified[said.Epoch] = true
			}
		}
	}
}
