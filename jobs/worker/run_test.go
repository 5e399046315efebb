package worker

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/audittest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
	"gocloud.dev/blob"
)

func TestRunJudgesARange(t *testing.T) {
	t.Parallel()
	queuetest.OnEach(t, func(t *testing.T, r queuetest.Queue) {
		w := audittest.New(t, simlog.Options{Epochs: 40, Tamper: map[uint64]simlog.Kind{
			12: simlog.Rewrite, 15: simlog.Missing, 30: simlog.Signature}})
		a := w.Auditor(t)
		var last RunSummary
		c := RunConfig{From: 1, To: 40, Window: 16, Progress: func(s RunSummary) {
			if s.Done() != last.Done()+1 {
				t.Errorf("progress jumps from %+v to %+v", last, s)
			}
			last = s
		}}
		got, err := runRange(t.Context(), r, a, c)
		if err != nil {
			t.Fatal(err)
		}
		want := RunSummary{Total: 40, Verified: 37, Rejected: 2, Missing: 1}
		if diff := cmp.Diff(want, got); diff != "" || last != got {
			t.Errorf("summary differs (-want +got):\n%s\nlast progress %+v", diff, last)
		}
		status, err := report.ReadStatus(t.Context(), w.Config.Store, jobstest.Namespace, verdict.Anchor{}, 1, 40)
		if err != nil || status.VerifiedCount != 37 || status.Head != 11 || len(status.Rejected) != 2 ||
			!cmp.Equal(status.Gaps, []epochset.Range{{From: 15, To: 15}}) {
			t.Errorf("status is %+v, %v", status, err)
		}
		// Again, there is nothing left to do but to look for the one that is missing.
		last = RunSummary{}
		if again, err := runRange(t.Context(), r, a, c); err != nil || again != want {
			t.Errorf("again %+v, %v", again, err)
		}
	})
}

func TestRunWaitsForLateEpochs(t *testing.T) {
	t.Parallel()
	queuetest.OnEach(t, func(t *testing.T, r queuetest.Queue) {
		w := audittest.New(t, simlog.Options{Epochs: 3})
		key := w.KeyOf(t, 2)
		batch, err := w.Log.ReadAll(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		jobstest.MoveObject(t, w.Log, key, "")
		var once atomic.Bool
		got, err := runRange(t.Context(), r, w.Auditor(t), RunConfig{From: 1, To: 3, NotPublishedWait: time.Minute,
			Worker: Config{NotYetDelay: time.Millisecond},
			Progress: func(s RunSummary) {
				if s.Verified == 2 && once.CompareAndSwap(false, true) {
					if err := w.Log.WriteAll(context.Background(), key, batch, nil); err != nil {
						t.Error(err)
					}
				}
			}})
		if err != nil || got.Verified != 3 {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestRunGivesUpOnFaults(t *testing.T) {
	t.Parallel()
	queuetest.OnEach(t, func(t *testing.T, r queuetest.Queue) {
		w := audittest.New(t, simlog.Options{Epochs: 3})
		faults := &jobstest.FaultyReads{Seed: rand.New(rand.NewPCG(1, 2)), Share: 1}
		w.Config.Fetcher = fetcher.New(faults.Over(t, w.Log), fetcher.Options{MaxAttempts: 1})
		got, err := runRange(t.Context(), r, w.Auditor(t), RunConfig{From: 1, To: 3, FaultWait: time.Second})
		if want := (RunSummary{Total: 3, Failed: 3}); err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	})
}

func TestRunStopsAndGoesOn(t *testing.T) {
	t.Parallel()
	queuetest.OnEach(t, func(t *testing.T, r queuetest.Queue) {
		w := audittest.New(t, simlog.Options{Epochs: 60})
		a := w.Auditor(t)
		ctx, cancel := context.WithCancel(t.Context())
		stopped, err := runRange(ctx, r, a, RunConfig{From: 1, To: 60, Window: 20, Progress: func(s RunSummary) {
			if s.Verified == 10 {
				cancel()
			}
		}})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("error is %v", err)
		}
		before := w.Judged(t, 1, 60)
		if before < 10 || before == 60 {
			t.Fatalf("%d verdicts after it was stopped at 10", before)
		}
		if stopped.Done() != uint64(before) {
			t.Errorf("says that %d epochs were done, %d were", stopped.Done(), before)
		}
		got, err := runRange(t.Context(), r, a, RunConfig{From: 1, To: 60})
		if err != nil || got.Verified != 60 {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// Tasks may lie where no worker will take them: with one that died, with one that holds them, or in
// a queue that is paused.
func TestRunTakesUpWhatTheQueueDoesNotBring(t *testing.T) {
	t.Parallel()
	queuetest.OnEachRedis(t, func(t *testing.T, r *queue.Redis) {
		w := audittest.New(t, simlog.Options{Epochs: 10})
		queuetest.MustPut(t, r, queue.Backfill, 3, 5, queue.EnqueueCounts{Enqueued: 3})
		if err := r.Inspector().PauseQueue(queuetest.Backfill); err != nil {
			t.Fatal(err)
		}
		got, err := runRange(t.Context(), r, w.Auditor(t), RunConfig{From: 1, To: 10})
		if err != nil || got.Verified != 10 {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestRunCountsWhatOthersJudge(t *testing.T) {
	t.Parallel()
	server := testservers.Redis(t)
	connect := func() *queue.Redis { return queuetest.Connect(t, server.URL()) }
	w := audittest.New(t, simlog.Options{Epochs: 50, Tamper: map[uint64]simlog.Kind{7: simlog.Digest}})
	startWorker(t, connect(), w.Auditor(t), Config{})
	got, err := runRange(t.Context(), connect(), w.Auditor(t), RunConfig{From: 1, To: 50, Worker: Config{Concurrency: 1}})
	if want := (RunSummary{Total: 50, Verified: 49, Rejected: 1}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}

func TestRunSurvivesTheLossOfRedis(t *testing.T) {
	t.Parallel()
	server := testservers.Redis(t)
	r := queuetest.Connect(t, server.URL())
	w := audittest.New(t, simlog.Options{Epochs: 60})
	got, err := runRange(t.Context(), r, w.Auditor(t), RunConfig{From: 1, To: 60, Worker: Config{Concurrency: 2},
		Progress: func(s RunSummary) {
			if s.Verified == 20 {
				server.Kill()
				if err := server.Start(); err != nil {
					t.Error(err)
				}
			}
		}})
	if err != nil || got.Verified != 60 {
		t.Errorf("%+v, %v", got, err)
	}
}

// When a run is told to stop its worker ends too, and it is chance which of the two is noticed
// first.
func TestInterruptedRunSaysSo(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 {
		r := &run{config: RunConfig{From: 1, To: 1}, next: 2, open: map[uint64]*epochState{1: {}}}
		ended := make(chan error, 1)
		ended <- nil
		if err := r.loop(ctx, ctx, ended); !errors.Is(err, context.Canceled) {
			t.Fatalf("error is %v", err)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []RunConfig{{From: 0, To: 5}, {From: 6, To: 5}, {From: 1, To: verdict.MaxEpoch + 1}, {From: 1, To: math.MaxUint64}} {
		if _, err := Run(t.Context(), nil, nil, c); err == nil {
			t.Errorf("%d to %d: no error", c.From, c.To)
		}
	}
}

func TestRunOnS3(t *testing.T) {
	t.Parallel()
	server := testservers.S3(t)
	open := func(name string) *blob.Bucket {
		b, err := blobstore.OpenBucket(t.Context(), server.BucketURL(name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		return b
	}
	log, signatures := open("log"), open("signatures")
	o := simlog.Options{Epochs: 30, Namespace: jobstest.Namespace, SigningKey: jobstest.Key(), Compression: simlog.Mixed,
		Tamper: map[uint64]simlog.Kind{9: simlog.Malformed, 20: simlog.Equivocate}}
	if _, err := simlog.Write(t.Context(), log, signatures, o, nil); err != nil {
		t.Fatal(err)
	}
	store, err := auditstore.Open(t.Context(), server.BucketURL("audit"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	config := audittest.Of(jobstest.WorldIn(t, log, signatures, store)).Config
	config.Archive = true
	a, err := audit.New(config)
	if err != nil {
		t.Fatal(err)
	}
	r := queuetest.Connect(t, testservers.Redis(t).URL())
	got, err := runRange(t.Context(), r, a, RunConfig{From: 1, To: 30})
	if want := (RunSummary{Total: 30, Verified: 28, Rejected: 2}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}
