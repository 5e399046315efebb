package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
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
	backfillEpochs = flag.Uint64("backfill-epochs", 3000, "epochs that the backfill tests audit")
	backfillWindow = flag.Uint64("backfill-window", 500, "how many of them may be on the queue at once")
)

const (
	backfillNamespace = "backfill.key-transparency.v1"
	// backfillRecent is how many of the newest epochs are no history, and go on a queue of their own.
	backfillRecent = 1000
	backfillKills  = 3
	// backfillReplicas is how many schedulers run, and how many workers.
	backfillReplicas = 2
)

// TestBackfill audits a log's history with real schedulers, workers and a real Redis, all of which are killed at once, at three
// random moments, and started again. Every epoch must have its verdict in the end and none may change; the queue must stay
// within its window. It prints what an epoch cost, tenth by tenth. For figures that mean something give it more:
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
		// The queue is as it was, with epochs that dead workers hold. They are free again when the leases have run out.
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
	t        *testing.T
	dir      string
	env      []string
	redis    *testservers.RedisServer
	running  []*backfillProcess
	verdicts *verdictWatch
	record   *backfillRecord
	starts   int
}

// backfillProcess is a ktaudit scheduler or worker.
type backfillProcess struct {
	*exec.Cmd
	role string
}

func startBackfill(t *testing.T, redis ...string) *backfill {
	t.Helper()
	b := &backfill{t: t, dir: t.TempDir(), redis: testservers.Redis(t, redis...)}
	b.env = append(environment(b.dir), "KTAUDIT_CONFIG="+filepath.Join(b.dir, "ktaudit.yaml"))
	b.verdicts = newVerdictWatch(t, filepath.Join(b.dir, "audit", backfillNamespace, "verdicts"))
	b.record = newBackfillRecord(t, b.redis.Addr())
	// A directory so large that the last epoch's proof is no longer than the first one's.
	b.ktaudit(nil, "simulate", "--namespace", backfillNamespace, "--log-directory", "log", "--epochs", fmt.Sprint(*backfillEpochs),
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
`, b.redis.URL(), backfillNamespace, *backfillEpochs, *backfillEpochs, *backfillWindow)
	if err := os.WriteFile(filepath.Join(b.dir, "ktaudit.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return b
}

// run audits everything. It kills at random moments of the second, fourth and sixth tenth, so that each finds something done and
// leaves something to do.
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
	// The leases of killed workers run for half a minute. The machine may be busy with other things.
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
			b.stopAll()
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
	store, err := blobstore.OpenStore(b.t.Context(), filepath.Join(b.dir, "audit"))
	if err != nil {
		b.t.Fatal(err)
	}
	defer store.Close()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	deadline := time.After(3 * time.Minute)
	for {
		h, err := store.History(b.t.Context(), backfillNamespace)
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
	return (*backfillEpochs+1)/blobstore.EpochsPerShard*blobstore.EpochsPerShard - 1
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
		log, err := os.Create(filepath.Join(b.dir, fmt.Sprintf("%s-%d.log", role, b.starts)))
		if err != nil {
			b.t.Fatal(err)
		}
		p := &backfillProcess{b.command(role), role}
		p.Stderr = log
		err = p.Start()
		_ = log.Close() // the process has its own
		if err != nil {
			b.t.Fatal(err)
		}
		b.running = append(b.running, p)
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
		if err := b.running[i].Process.Kill(); err != nil {
			b.t.Errorf("a %s ended before it was killed: %v", b.running[i].role, err)
		}
	}
	for _, p := range b.running {
		_ = p.Wait() // it ends by the signal
		b.record.ended(p)
	}
	b.running = nil
	b.verdicts.look()
	b.record.killed(b.verdicts.count())
}

// stopAll ends everything as an operator would.
func (b *backfill) stopAll() {
	b.t.Helper()
	for _, p := range b.running {
		if err := p.Process.Signal(os.Interrupt); err != nil {
			b.t.Error(err)
		}
	}
	for _, p := range b.running {
		if err := p.Wait(); err != nil {
			b.t.Errorf("a %s that was told to stop: %v", p.role, err)
		}
	}
	b.running = nil
}

// check wants one verdict for each epoch, verified, as it was when it was first seen.
func (b *backfill) check() {
	b.t.Helper()
	b.verdicts.check(*backfillEpochs)
	b.checkLogs()
	b.record.check()
	var status jobs.Status
	b.ktaudit(&status, "status", "--from", "1", "--to", fmt.Sprint(*backfillEpochs))
	if status.Head != *backfillEpochs || status.VerifiedCount != *backfillEpochs || status.SealedCount != b.sealed() || !status.Good() {
		b.t.Errorf("status is %+v, want all of %d epochs verified", status, *backfillEpochs)
	}
	var counts jobs.Counts
	b.ktaudit(&counts, "enqueue", "--from", "1", "--to", fmt.Sprint(*backfillEpochs))
	if want := (jobs.Counts{AlreadyJudged: *backfillEpochs}); counts != want {
		b.t.Errorf("enqueue counts %+v, want %+v", counts, want)
	}
}

// checkLogs wants no defect in what the processes said, and no two of them to have written a verdict on the same epoch.
func (b *backfill) checkLogs() {
	b.t.Helper()
	logs, err := filepath.Glob(filepath.Join(b.dir, "*.log"))
	if err != nil || len(logs) != (1+backfillKills)*2*backfillReplicas {
		b.t.Fatalf("%d logs, error %v", len(logs), err)
	}
	verified := map[uint64]bool{}
	for _, name := range logs {
		text, err := os.ReadFile(name)
		if err != nil {
			b.t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var said struct {
				Message string
				Epoch   uint64
			}
			switch err := json.Unmarshal([]byte(line), &said); {
			case err != nil && strings.HasSuffix(line, "\n") && !strings.HasPrefix(line, "warning: "), strings.Contains(line, "panic"):
				b.t.Errorf("%s: %s", filepath.Base(name), line)
			case said.Message == "epoch verified":
				if verified[said.Epoch] {
					b.t.Errorf("%s: a second verdict: %s", filepath.Base(name), line)
				}
				verified[said.Epoch] = true
			}
		}
	}
}

func (b *backfill) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(b.t.Context(), filepath.Join(binDir, "ktaudit"), args...)
	cmd.Dir, cmd.Env = b.dir, b.env
	return cmd
}

// ktaudit runs a command that must exit with 0 and reads its JSON into result.
func (b *backfill) ktaudit(result any, args ...string) {
	b.t.Helper()
	var stderr strings.Builder
	cmd := b.command(append(args, "--json")...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil && result != nil {
		err = json.Unmarshal(out, result)
	}
	if err != nil {
		b.t.Fatalf("ktaudit %q: %v\n%s%s", args, err, out, stderr.String())
	}
}
