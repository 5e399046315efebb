package jobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"

	"github.com/hibiken/asynq"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/rs/zerolog"
	"gocloud.dev/gcerrors"
)

// startWorker runs a worker until the test ends or the function is called.
func startWorker(t *testing.T, r *Redis, a *Auditor, c WorkerConfig) (stop func()) {
	t.Helper()
	w, err := NewWorker(r, []*Auditor{a}, c, a.Log)
	if err != nil {
		t.Fatal(err)
	}
	w.pollInterval = 20 * time.Millisecond
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

func queueIsEmpty(t *testing.T, r *Redis) bool {
	t.Helper()
	c, err := queueCounts(r, Backfill)
	if err != nil {
		t.Fatal(err)
	}
	return c.Pending+c.Active+c.Retry+c.Archived == 0
}

func TestWorkerJudgesEverythingQueued(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		w := newWorld(t, simlog.Options{Epochs: 30, Tamper: map[uint64]simlog.Kind{4: simlog.Overlap}})
		a := w.auditor(t)
		mustEnqueue(t, enqueuer(r), 1, 30, Counts{Enqueued: 30})
		startWorker(t, r, a, WorkerConfig{})
		eventually(t, "30 verdicts", func() bool { return w.judged(t, 1, 30) == 30 })
		eventually(t, "an empty queue: a rejection is not tried again", func() bool { return queueIsEmpty(t, r) })
	})
}

func TestWorkerWaitsForWhatIsNotThereYet(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		w := newWorld(t, simlog.Options{Epochs: 4, Start: time.Now()})
		published := w.keyOf(t, 4)
		batch, err := w.log.ReadAll(t.Context(), published)
		if err != nil {
			t.Fatal(err)
		}
		moveObject(t, w.log, published, "")
		signed, err := w.signatures.ReadAll(t.Context(), "2.json")
		if err != nil {
			t.Fatal(err)
		}
		moveObject(t, w.signatures, "2.json", "")

		mustEnqueue(t, enqueuer(r), 1, 4, Counts{Enqueued: 4})
		startWorker(t, r, w.auditor(t), WorkerConfig{NotYetDelay: time.Millisecond})
		eventually(t, "2, 3 and 4 to wait", func() bool {
			return w.judged(t, 1, 4) == 1 && lastErr(r, 2) != "" && lastErr(r, 3) != "" && lastErr(r, 4) != ""
		})
		for _, epoch := range []uint64{2, 3, 4} {
			if info, err := r.inspector().GetTaskInfo(backfillQueue, Task{testNamespace, epoch}.ID()); err != nil || info.Retried != 0 {
				t.Errorf("epoch %d: waiting counts as a failure: %+v, %v", epoch, info, err)
			}
		}
		if err := w.log.WriteAll(t.Context(), published, batch, nil); err != nil {
			t.Fatal(err)
		}
		if err := w.signatures.WriteAll(t.Context(), "2.json", signed, nil); err != nil {
			t.Fatal(err)
		}
		eventually(t, "4 verdicts", func() bool { return w.judged(t, 1, 4) == 4 })
	})
}

func lastErr(r *Redis, epoch uint64) string {
	info, err := r.inspector().GetTaskInfo(backfillQueue, Task{testNamespace, epoch}.ID())
	if err != nil {
		return ""
	}
	return info.LastErr
}

func TestWorkerOutlastsFaults(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		w := newWorld(t, simlog.Options{Epochs: 20})
		faults := &faultyReads{seed: rand.New(rand.NewPCG(1, 2)), share: 0.3}
		w.config.Fetcher = fetcher.New(faults.over(t, w.log), fetcher.Options{MaxAttempts: 1, Backoff: time.Millisecond})
		mustEnqueue(t, enqueuer(r), 1, 20, Counts{Enqueued: 20})
		startWorker(t, r, w.auditor(t), WorkerConfig{MaxRetryDelay: time.Millisecond})
		eventually(t, "20 verdicts", func() bool { return w.judged(t, 1, 20) == 20 })
	})
}

func TestWorkerFinishesWhatIsInFlight(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		w := newWorld(t, simlog.Options{Epochs: 2})
		g := newGate()
		w.config.Fetcher = fetcher.New((&faultyReads{seed: rand.New(rand.NewPCG(1, 2)), beforeOpen: g.pass}).over(t, w.log), fetcher.Options{})
		mustEnqueue(t, enqueuer(r), 1, 1, Counts{Enqueued: 1})
		stop := startWorker(t, r, w.auditor(t), WorkerConfig{})
		<-g.entered
		ended := make(chan struct{})
		go func() { stop(); close(ended) }()
		mustEnqueue(t, enqueuer(r), 2, 2, Counts{Enqueued: 1})
		close(g.open)
		<-ended
		if n := w.judged(t, 1, 1); n != 1 {
			t.Error("the epoch in flight has no verdict")
		}
	})
}

func TestWorkerHandsBackWhatTakesTooLong(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		w := newWorld(t, simlog.Options{Epochs: 1})
		g := newGate()
		slow := w.config
		slow.Fetcher = fetcher.New((&faultyReads{seed: rand.New(rand.NewPCG(1, 2)), beforeOpen: g.pass}).over(t, w.log), fetcher.Options{})
		a, err := NewAuditor(slow)
		if err != nil {
			t.Fatal(err)
		}
		mustEnqueue(t, enqueuer(r), 1, 1, Counts{Enqueued: 1})
		stop := startWorker(t, r, a, WorkerConfig{ShutdownTimeout: time.Millisecond})
		<-g.entered
		ended := make(chan struct{})
		go func() { stop(); close(ended) }()
		eventually(t, "the task to be handed back", func() bool {
			info, err := r.inspector().GetTaskInfo(backfillQueue, Task{testNamespace, 1}.ID())
			return err == nil && info.State == asynq.TaskStatePending && info.Retried == 0
		})
		close(g.open)
		<-ended
		startWorker(t, r, w.auditor(t), WorkerConfig{})
		eventually(t, "a verdict", func() bool { return w.judged(t, 1, 1) == 1 })
	})
}

func TestWorkerSurvivesPanics(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		w := newWorld(t, simlog.Options{Epochs: 1})
		a := w.auditor(t)
		a.Budget = nil
		mustEnqueue(t, enqueuer(r), 1, 1, Counts{Enqueued: 1})
		stop := startWorker(t, r, a, WorkerConfig{MaxRetryDelay: time.Millisecond})
		eventually(t, "a retry", func() bool { return strings.Contains(lastErr(r, 1), "panic") })
		stop()
		startWorker(t, r, w.auditor(t), WorkerConfig{})
		eventually(t, "a verdict", func() bool { return w.judged(t, 1, 1) == 1 })
	})
}

func TestWorkerDropsWhatIsNoTask(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		w := newWorld(t, simlog.Options{Epochs: 1})
		var log bytes.Buffer
		w.config.Log = zerolog.New(zerolog.SyncWriter(&log))
		client := asynq.NewClientFromRedisClient(r.client)
		payloads := []string{``, `x`, `{}`, `{"namespace":"other","epoch":1}`, `{"namespace":"` + testNamespace + `","epoch":-1}`}
		for _, payload := range payloads {
			if _, err := client.Enqueue(asynq.NewTask(TypeAudit, []byte(payload)), asynq.Queue(backfillQueue)); err != nil {
				t.Fatal(err)
			}
		}
		stop := startWorker(t, r, w.auditor(t), WorkerConfig{})
		eventually(t, "an empty queue", func() bool { return queueIsEmpty(t, r) })
		stop()
		if n := strings.Count(log.String(), "task dropped"); n != len(payloads) {
			t.Errorf("%d of %d are in the log:\n%s", n, len(payloads), log.String())
		}
	})
}

func TestFreshEpochsGoAhead(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		w := newWorld(t, simlog.Options{Epochs: 30})
		mustEnqueue(t, enqueuer(r), 1, 20, Counts{Enqueued: 20})
		fresh := &Enqueuer{Redis: r, Namespace: testNamespace, Class: Fresh}
		mustEnqueue(t, fresh, 21, 30, Counts{Enqueued: 10})
		startWorker(t, r, w.auditor(t), WorkerConfig{Concurrency: 1})
		eventually(t, "30 verdicts", func() bool { return w.judged(t, 1, 30) == 30 })
		var lastFresh, firstOld time.Time
		for epoch := uint64(1); epoch <= 30; epoch++ {
			v, err := w.config.Store.Verdict(t.Context(), testNamespace, epoch)
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
	w := &Worker{config: WorkerConfig{NotYetDelay: 30 * time.Second, MaxRetryDelay: 10 * time.Minute}.withDefaults()}
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
		{"not signed", 3, ErrNoSignature, 30 * time.Second, false},
		{"first fault", 0, fault, time.Second, true},
		{"second fault", 1, fault, 2 * time.Second, true},
		{"sixth fault", 5, fault, 32 * time.Second, true},
		{"hundredth fault", 99, fault, 10 * time.Minute, true},
		{"timeout", 1, context.DeadlineExceeded, 2 * time.Second, true},
		{"worker stopped", 9, fmt.Errorf("reading: %w", context.Canceled), time.Second, false},
		{"worker died", 9, asynq.ErrLeaseExpired, time.Second, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := isFailure(c.err); got != c.failure {
				t.Errorf("isFailure is %v", got)
			}
			seen := map[time.Duration]bool{}
			for range 200 {
				got := w.retryDelay(c.failures, c.err, nil)
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

func TestNewWorkerRefuses(t *testing.T) {
	t.Parallel()
	a := &Auditor{AuditorConfig: AuditorConfig{Namespace: testNamespace}}
	for name, auditors := range map[string][]*Auditor{"no log": nil, "one log twice": {a, a}} {
		if _, err := NewWorker(nil, auditors, WorkerConfig{}, zerolog.Nop()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A store that does not answer is a fault: the verdict is not there, which is not the same as not being on record.
func TestStoreFaultIsNoVerdict(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 1})
	a := w.auditor(t)
	if err := w.audit.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Audit(t.Context(), 1); err == nil || errors.Is(err, auditstore.ErrNotFound) || IsNotYet(err) {
		t.Errorf("error is %v (%v)", err, gcerrors.Code(err))
	}
}
