package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/audittest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/rs/zerolog"
	"gocloud.dev/gcerrors"
)

// startWorker runs a worker until the test ends or the function is called.
func startWorker(t *testing.T, r Queue, a *audit.Auditor, c Config) (stop func()) {
	t.Helper()
	c.PollInterval = 20 * time.Millisecond
	c = complete(c)
	w, err := New(r, []*audit.Auditor{a}, c, a.Log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func queueIsEmpty(t *testing.T, r queuetest.Queue) bool {
	t.Helper()
	c, err := queuetest.Counts(r, queue.Backfill)
	if err != nil {
		t.Fatal(err)
	}
	return c.Pending+c.Active+c.Retry+c.Archived == 0
}

func TestWorkerJudgesEverythingQueued(t *testing.T) {
	t.Parallel()
	queuetest.OnEach(t, func(t *testing.T, r queuetest.Queue) {
		w := audittest.New(t, simlog.Options{Epochs: 30, Tamper: map[uint64]simlog.Kind{4: simlog.Overlap}})
		a := w.Auditor(t)
		queuetest.MustPut(t, r, queue.Backfill, 1, 30, queue.EnqueueCounts{Enqueued: 30})
		startWorker(t, r, a, Config{})
		jobstest.Eventually(t, "30 verdicts", func() bool { return w.Judged(t, 1, 30) == 30 })
		jobstest.Eventually(t, "an empty queue: a rejection is not tried again", func() bool { return queueIsEmpty(t, r) })
	})
}

func TestWorkerWaitsForWhatIsNotThereYet(t *testing.T) {
	t.Parallel()
	queuetest.OnEach(t, func(t *testing.T, r queuetest.Queue) {
		w := audittest.New(t, simlog.Options{Epochs: 4, Start: time.Now()})
		published := w.KeyOf(t, 4)
		batch, err := w.Log.ReadAll(t.Context(), published)
		if err != nil {
			t.Fatal(err)
		}
		jobstest.MoveObject(t, w.Log, published, "")
		signed, err := w.Signatures.ReadAll(t.Context(), "2.json")
		if err != nil {
			t.Fatal(err)
		}
		jobstest.MoveObject(t, w.Signatures, "2.json", "")

		queuetest.MustPut(t, r, queue.Backfill, 1, 4, queue.EnqueueCounts{Enqueued: 4})
		startWorker(t, r, w.Auditor(t), Config{NotYetDelay: time.Millisecond})
		jobstest.Eventually(t, "2, 3 and 4 to wait", func() bool {
			return w.Judged(t, 1, 4) == 1 && lastErr(r, 2) != "" && lastErr(r, 3) != "" && lastErr(r, 4) != ""
		})
		for _, epoch := range []uint64{2, 3, 4} {
			if fault, _ := r.LastAttempt(jobstest.Namespace, epoch); fault {
				t.Errorf("epoch %d: waiting counts as a failure", epoch)
			}
		}
		if err := w.Log.WriteAll(t.Context(), published, batch, nil); err != nil {
			t.Fatal(err)
		}
		if err := w.Signatures.WriteAll(t.Context(), "2.json", signed, nil); err != nil {
			t.Fatal(err)
		}
		jobstest.Eventually(t, "4 verdicts", func() bool { return w.Judged(t, 1, 4) == 4 })
	})
}

func lastErr(r queuetest.Queue, epoch uint64) string {
	if _, why := r.LastAttempt(jobstest.Namespace, epoch); why != nil {
		return why.Error()
	}
	return ""
}

func TestWorkerOutlastsFaults(t *testing.T) {
	t.Parallel()
	queuetest.OnEach(t, func(t *testing.T, r queuetest.Queue) {
		w := audittest.New(t, simlog.Options{Epochs: 20})
		faults := &jobstest.FaultyReads{Seed: rand.New(rand.NewPCG(1, 2)), Share: 0.3}
		w.Config.Fetcher = fetcher.New(faults.Over(t, w.Log), fetcher.Options{MaxAttempts: 1, Backoff: time.Millisecond})
		queuetest.MustPut(t, r, queue.Backfill, 1, 20, queue.EnqueueCounts{Enqueued: 20})
		startWorker(t, r, w.Auditor(t), Config{MaxRetryDelay: time.Millisecond})
		jobstest.Eventually(t, "20 verdicts", func() bool { return w.Judged(t, 1, 20) == 20 })
	})
}

func TestWorkerFinishesWhatIsInFlight(t *testing.T) {
	t.Parallel()
	queuetest.OnEach(t, func(t *testing.T, r queuetest.Queue) {
		w := audittest.New(t, simlog.Options{Epochs: 2})
		g := jobstest.NewGate()
		w.Config.Fetcher = fetcher.New((&jobstest.FaultyReads{Seed: rand.New(rand.NewPCG(1, 2)), BeforeOpen: g.Pass}).Over(t, w.Log), fetcher.Options{})
		queuetest.MustPut(t, r, queue.Backfill, 1, 1, queue.EnqueueCounts{Enqueued: 1})
		stop := startWorker(t, r, w.Auditor(t), Config{})
		<-g.Entered
		ended := make(chan struct{})
		go func() { stop(); close(ended) }()
		queuetest.MustPut(t, r, queue.Backfill, 2, 2, queue.EnqueueCounts{Enqueued: 1})
		close(g.Open)
		<-ended
		if n := w.Judged(t, 1, 1); n != 1 {
			t.Error("the epoch in flight has no verdict")
		}
	})
}

func TestWorkerHandsBackWhatTakesTooLong(t *testing.T) {
	t.Parallel()
	queuetest.OnEach(t, func(t *testing.T, r queuetest.Queue) {
		w := audittest.New(t, simlog.Options{Epochs: 1})
		g := jobstest.NewGate()
		slow := w.Config
		slow.Fetcher = fetcher.New((&jobstest.FaultyReads{Seed: rand.New(rand.NewPCG(1, 2)), BeforeOpen: g.Pass}).Over(t, w.Log), fetcher.Options{})
		a, err := audit.New(slow)
		if err != nil {
			t.Fatal(err)
		}
		queuetest.MustPut(t, r, queue.Backfill, 1, 1, queue.EnqueueCounts{Enqueued: 1})
		stop := startWorker(t, r, a, Config{ShutdownTimeout: time.Millisecond})
		<-g.Entered
		ended := make(chan struct{})
		go func() { stop(); close(ended) }()
		jobstest.Eventually(t, "the task to be handed back", func() bool {
			c, err := queuetest.Counts(r, queue.Backfill)
			return err == nil && c.Pending == 1 && lastErr(r, 1) == ""
		})
		close(g.Open)
		<-ended
		startWorker(t, r, w.Auditor(t), Config{})
		jobstest.Eventually(t, "a verdict", func() bool { return w.Judged(t, 1, 1) == 1 })
	})
}

func TestWorkerSurvivesPanics(t *testing.T) {
	t.Parallel()
	queuetest.OnEach(t, func(t *testing.T, r queuetest.Queue) {
		w := audittest.New(t, simlog.Options{Epochs: 1})
		a := w.Auditor(t)
		a.Budget = nil
		queuetest.MustPut(t, r, queue.Backfill, 1, 1, queue.EnqueueCounts{Enqueued: 1})
		stop := startWorker(t, r, a, Config{MaxRetryDelay: time.Millisecond})
		jobstest.Eventually(t, "a retry", func() bool { return strings.Contains(lastErr(r, 1), "panic") })
		stop()
		startWorker(t, r, w.Auditor(t), Config{})
		jobstest.Eventually(t, "a verdict", func() bool { return w.Judged(t, 1, 1) == 1 })
	})
}

func TestWorkerDropsWhatIsNoTask(t *testing.T) {
	t.Parallel()
	queuetest.OnEachRedis(t, func(t *testing.T, r *queue.Redis) {
		w := audittest.New(t, simlog.Options{Epochs: 1})
		var log bytes.Buffer
		w.Config.Log = zerolog.New(zerolog.SyncWriter(&log))
		client := asynq.NewClientFromRedisClient(r.Client)
		payloads := []string{``, `x`, `{}`, `{"namespace":"other","epoch":1}`, `{"namespace":"` + jobstest.Namespace + `","epoch":-1}`}
		for _, payload := range payloads {
			if _, err := client.Enqueue(asynq.NewTask(queue.TypeAudit, []byte(payload)), asynq.Queue(queuetest.Backfill)); err != nil {
				t.Fatal(err)
			}
		}
		stop := startWorker(t, r, w.Auditor(t), Config{})
		jobstest.Eventually(t, "an empty queue", func() bool { return queueIsEmpty(t, r) })
		stop()
		if n := strings.Count(log.String(), "task dropped"); n != len(payloads) {
			t.Errorf("%d of %d are in the log:\n%s", n, len(payloads), log.String())
		}
	})
}

func TestFreshEpochsGoAhead(t *testing.T) {
	t.Parallel()
	queuetest.OnEach(t, func(t *testing.T, r queuetest.Queue) {
		w := audittest.New(t, simlog.Options{Epochs: 30})
		queuetest.MustPut(t, r, queue.Backfill, 1, 20, queue.EnqueueCounts{Enqueued: 20})
		queuetest.MustPut(t, r, queue.Fresh, 21, 30, queue.EnqueueCounts{Enqueued: 10})
		startWorker(t, r, w.Auditor(t), Config{Concurrency: 1})
		jobstest.Eventually(t, "30 verdicts", func() bool { return w.Judged(t, 1, 30) == 30 })
		var lastFresh, firstOld time.Time
		for epoch := uint64(1); epoch <= 30; epoch++ {
			v, err := w.Config.Store.Verdict(t.Context(), jobstest.Namespace, epoch)
			if err != nil {
				t.Fatal(err)
			}
			if epoch > 20 && v.FinishedAt.After(lastFresh) {
				lastFresh = v.FinishedAt
			}
			if epoch <= 20 && (firstOld.IsZero() || v.FinishedAt.Before(firstOld)) {
				firstOld = v.FinishedAt
			}
		}
		if firstOld.Before(lastFresh) {
			t.Errorf("history was judged %v before the last fresh epoch", lastFresh.Sub(firstOld))
		}
	})
}

func TestRetryDelay(t *testing.T) {
	t.Parallel()
	w := &Worker{config: complete(Config{NotYetDelay: 30 * time.Second, MaxRetryDelay: 10 * time.Minute})}
	notYet := fmt.Errorf("epoch 5: %w", fetcher.ErrNotPublished)
	fault := errors.New("503 slow down")
	for _, c := range []struct {
		name     string
		failures int
		err      error
		want     time.Duration // give or take a quarter
		failure  bool
	}{
		{"not published", 0, notYet, 30 * time.Second, false},
		{"not published, after many faults", 50, notYet, 30 * time.Second, false},
		{"not signed", 3, audit.ErrNoSignature, 30 * time.Second, false},
		{"first fault", 0, fault, time.Second, true},
		{"second fault", 1, fault, 2 * time.Second, true},
		{"sixth fault", 5, fault, 32 * time.Second, true},
		{"hundredth fault", 99, fault, 10 * time.Minute, true},
		{"timeout", 1, context.DeadlineExceeded, 2 * time.Second, true},
		{"worker stopped", 9, fmt.Errorf("reading: %w", context.Canceled), time.Second, false},
		{"worker died", 9, queue.ErrLeaseLost, time.Second, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := isFailure(c.err); got != c.failure {
				t.Errorf("isFailure is %v", got)
			}
			seen := map[time.Duration]bool{}
			for range 200 {
				got := w.retryDelay(c.failures, c.err)
				if got < c.want*3/4 || got > c.want*5/4 {
					t.Fatalf("delay is %v, want %v give or take a quarter", got, c.want)
				}
				seen[got] = true
			}
			if len(seen) < 100 {
				t.Errorf("%d different delays of 200: no jitter", len(seen))
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	a := &audit.Auditor{Config: audit.Config{Namespace: jobstest.Namespace}}
	for name, auditors := range map[string][]*audit.Auditor{"no log": nil, "one log twice": {a, a}} {
		if _, err := New(nil, auditors, complete(Config{}), zerolog.Nop()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for field, unset := range map[string]func(*Config){
		"Concurrency":     func(c *Config) { c.Concurrency = 0 },
		"ShutdownTimeout": func(c *Config) { c.ShutdownTimeout = 0 },
		"NotYetDelay":     func(c *Config) { c.NotYetDelay = 0 },
		"MaxRetryDelay":   func(c *Config) { c.MaxRetryDelay = 0 },
		"PollInterval":    func(c *Config) { c.PollInterval = 0 },
	} {
		c := complete(Config{})
		unset(&c)
		_, err := New(nil, []*audit.Auditor{a}, c, zerolog.Nop())
		if err == nil || !strings.Contains(err.Error(), field+" is not set") {
			t.Errorf("without %s: %v", field, err)
		}
	}
}

// A store that does not answer is a fault: the verdict is not there, which is not the same as not
// being on record.
func TestStoreFaultIsNoVerdict(t *testing.T) {
	t.Parallel()
	w := audittest.New(t, simlog.Options{Epochs: 1})
	a := w.Auditor(t)
	if err := w.Audit.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Audit(t.Context(), 1); err == nil || errors.Is(err, auditstore.ErrNotFound) || audit.IsNotYet(err) {
		t.Errorf("error is %v (%v)", err, gcerrors.Code(err))
	}
}
