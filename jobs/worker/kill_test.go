package worker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"github.com/ktaudit/ktaudit/jobs/verify"
	"github.com/ktaudit/ktaudit/verdict"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/queue/inprocess"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/rs/zerolog"
	"gocloud.dev/blob"
)

// helperVariable makes the test binary the process of its value, a helper's arguments, instead of
// running tests.
const helperVariable = "KTAUDIT_JOBS_TEST_HELPER"

// helper is a process that a test kills: a worker, or a run of epochs 1 to Run.
type helper struct {
	Dir, Redis string
	Run        uint64
	// Slow is how much longer a batch takes to be read.
	Slow time.Duration
}

func TestMain(m *testing.M) {
	arguments := os.Getenv(helperVariable)
	if arguments == "" {
		os.Exit(m.Run())
	}
	var h helper
	err := json.Unmarshal([]byte(arguments), &h)
	if err == nil {
		err = h.main()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

func (h helper) main() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log, err := blobstore.OpenBucket(ctx, filepath.Join(h.Dir, "log"))
	if err != nil {
		return err
	}
	store, err := auditstore.Open(ctx, filepath.Join(h.Dir, "audit"))
	if err != nil {
		return err
	}
	logger := zerolog.New(os.Stdout)
	var r Queue = inprocess.New()
	if h.Redis != queue.Embedded {
		if r, err = queue.Connect(ctx, h.Redis, logger); err != nil {
			return err
		}
	}
	// SIGTERM is a regular end from here on, no failure to start
	fmt.Println(`{"ready":true}`)
	slow := &jobstest.FaultyReads{Seed: rand.New(rand.NewPCG(1, 1)), BeforeOpen: func() { // like one on the network
		time.Sleep(h.Slow + time.Duration(rand.IntN(20))*time.Millisecond)
	}}
	a, err := audit.New(audit.Config{
		Namespace: jobstest.Namespace, Configuration: validator.WhatsAppV1(), Store: store, First: 1, Budget: verify.NewBudget(0), Log: logger,
		Fetcher: fetcher.New(blob.NewBucket(&jobstest.FaultyBucket{Faults: slow, B: log}), fetcher.Options{}),
	})
	if err != nil {
		return err
	}
	if h.Run > 0 {
		_, err := runRange(ctx, r, a, RunConfig{From: 1, To: h.Run, Worker: Config{Concurrency: 4}})
		return err
	}
	w, err := New(r, []*audit.Auditor{a}, complete(Config{Concurrency: 4, PollInterval: 20 * time.Millisecond}), logger)
	if err != nil {
		return err
	}
	return w.Run(ctx)
}

// process is a running helper. Every line it logs goes to lines.
type process struct {
	cmd   *exec.Cmd
	ready chan struct{}
	ended chan struct{}
	err   error
}

func start(t *testing.T, h helper, lines *verdictLines) *process {
	t.Helper()
	arguments, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(os.Args[0]), ready: make(chan struct{}), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), helperVariable+"="+string(arguments))
	var stderr bytes.Buffer
	p.cmd.Stderr = &stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		lines.read(bufio.NewScanner(stdout), p.ready)
		if p.err = p.cmd.Wait(); p.err != nil && stderr.Len() > 0 {
			p.err = fmt.Errorf("%w: %s", p.err, stderr.String())
		}
		close(p.ended)
	}()
	t.Cleanup(p.kill)
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails only if it has ended
	<-p.ended
}

// verdictLines counts, for each epoch, the lines that say that its verdict was written.
type verdictLines struct {
	mu     sync.Mutex
	counts map[uint64]int
	gaveUp atomic.Bool // a worker said that it gave up epochs
}

// len is of how many epochs a verdict was written.
func (v *verdictLines) len() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.counts)
}

func (v *verdictLines) read(lines *bufio.Scanner, ready chan<- struct{}) {
	for lines.Scan() {
		var line struct {
			Epoch   uint64
			Outcome string
			Ready   bool
			Message string
		}
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			continue
		}
		if strings.Contains(line.Message, "the epochs are given up") {
			v.gaveUp.Store(true)
		}
		if line.Ready {
			close(ready)
		}
		if line.Outcome != "" {
			v.mu.Lock()
			v.counts[line.Epoch]++
			v.mu.Unlock()
		}
	}
}

func (v *verdictLines) check(t *testing.T) {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	for epoch, n := range v.counts {
		if n > 1 {
			t.Errorf("epoch %d was judged %d times", epoch, n)
		}
	}
}

// logOnDisk simulates a log in a new directory, with an empty audit store beside it.
func logOnDisk(t *testing.T, epochs uint64) (dir string, store *auditstore.Store) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{"log", "audit"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	log, err := blobstore.OpenBucket(t.Context(), filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	o := simlog.Options{Epochs: epochs, Namespace: jobstest.Namespace, Tamper: map[uint64]simlog.Kind{epochs / 2: simlog.Delete}}
	if _, err := simlog.Write(t.Context(), log, nil, o, nil); err != nil {
		t.Fatal(err)
	}
	store, err = auditstore.Open(t.Context(), filepath.Join(dir, "audit"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return dir, store
}

func checkAllJudged(t *testing.T, store *auditstore.Store, epochs uint64) {
	t.Helper()
	s, err := report.ReadStatus(t.Context(), store, jobstest.Namespace, verdict.Anchor{}, 1, epochs)
	if err != nil {
		t.Fatal(err)
	}
	if s.VerifiedCount != epochs-1 || s.RejectedCount != 1 || s.Rejected[0].Epoch != epochs/2 {
		t.Errorf("status is %+v", s)
	}
}

// Workers and Redis are killed at random. Nothing is lost, because what has no verdict is enqueued
// again, and nothing is judged twice.
func TestKilledWorkers(t *testing.T) {
	t.Parallel()
	const epochs, kills = 400, 12
	dir, store := logOnDisk(t, epochs)
	server := testservers.Redis(t)
	r := queuetest.Connect(t, server.URL())
	e := &queue.Enqueuer{Redis: r, Namespace: jobstest.Namespace, Judged: queuetest.JudgedRuns(store)}
	queuetest.MustEnqueue(t, e, 1, epochs, queue.EnqueueCounts{Enqueued: epochs})

	lines := &verdictLines{counts: map[uint64]int{}}
	h := helper{Dir: dir, Redis: server.URL()}
	workers := []*process{start(t, h, lines), start(t, h, lines)}
	lost := uint64(0)
	enqueueAgain := func() {
		ageLeases(t, r)
		counts, err := e.Enqueue(t.Context(), 1, epochs, nil)
		if err != nil {
			t.Fatal(err)
		}
		lost += counts.Enqueued + counts.Revived
	}
	for kill := range kills {
		time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond) // anywhere in its work
		victim := rand.IntN(len(workers))
		workers[victim].kill()
		if kill == kills/2 {
			server.Kill()
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
		}
		enqueueAgain()
		workers[victim] = start(t, h, lines)
	}
	jobstest.Eventually(t, "all verdicts", func() bool {
		enqueueAgain()
		s, err := report.ReadStatus(t.Context(), store, jobstest.Namespace, verdict.Anchor{}, 1, epochs)
		return err == nil && s.MissingCount == 0
	})
	if lost == 0 {
		t.Error("no task was ever lost: the test kills at the wrong moments")
	}
	for _, w := range workers {
		select {
		case <-w.ready:
		case <-w.ended:
		}
		_ = w.cmd.Process.Signal(syscall.SIGTERM)
		if <-w.ended; w.err != nil {
			t.Errorf("worker did not end well: %v", w.err)
		}
	}
	checkAllJudged(t, store, epochs)
	lines.check(t)
}

// ageLeases makes it half a minute later for the tasks in flight. Living workers renew their leases
// within five seconds, so some of what they are at is enqueued a second time, which must not
// matter.
func ageLeases(t *testing.T, r *queue.Redis) {
	t.Helper()
	lease := queue.Key(queuetest.Backfill, "lease")
	for _, id := range r.Client.ZRange(t.Context(), lease, 0, -1).Val() {
		queuetest.Do(t, r, "ZADD", lease, "XX", time.Now().Add(-30*time.Second).Unix(), id)
	}
}

func TestKilledRuns(t *testing.T) {
	t.Parallel()
	const epochs = 200
	dir, store := logOnDisk(t, epochs)
	server := testservers.Redis(t)
	lines := &verdictLines{counts: map[uint64]int{}}
	for _, redis := range []string{queue.Embedded, server.URL(), queue.Embedded, server.URL(), queue.Embedded} {
		p := start(t, helper{Dir: dir, Redis: redis, Run: epochs}, lines)
		select {
		case <-time.After(time.Duration(300+rand.IntN(500)) * time.Millisecond):
		case <-p.ended:
		}
		p.kill()
	}
	p := start(t, helper{Dir: dir, Redis: server.URL(), Run: epochs}, lines)
	if <-p.ended; p.err != nil {
		t.Error(p.err)
	}
	checkAllJudged(t, store, epochs)
	lines.check(t)
}
