package worker

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/audittest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/canary"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/rs/zerolog"
)

// accepting is a judge that verifies everything.
func accepting(context.Context, validator.Name, io.Reader, validator.Configuration, validator.Options) (validator.Result, error) {
	return validator.Result{Outcome: validator.Verified}, nil
}

// A worker whose judge is broken ends by itself and leaves its epochs to others.
func TestAWorkerWithABrokenJudgeEnds(t *testing.T) {
	t.Parallel()
	queuetest.OnEach(t, func(t *testing.T, r queuetest.Queue) {
		w := audittest.New(t, simlog.Options{Epochs: 20})
		queuetest.MustPut(t, r, queue.Backfill, 1, 20, queue.EnqueueCounts{Enqueued: 20})
		w.Config.Canary = canary.New(1, accepting)
		broken, err := New(r, []*audit.Auditor{w.Auditor(t)}, complete(Config{Concurrency: 3}), zerolog.Nop())
		jobstest.Must(t, err)
		err = broken.Run(t.Context())
		if _, ok := errors.AsType[*canary.BrokenError](err); !ok {
			t.Fatalf("the worker ended with %v", err)
		}
		if n := w.Judged(t, 1, 20); n != 0 {
			t.Errorf("%d verdicts of a broken judge", n)
		}
		w.Config.Canary = canary.New(1, validator.Verify)
		startWorker(t, r, w.Auditor(t), Config{})
		jobstest.Eventually(t, "20 verdicts by another worker", func() bool { return w.Judged(t, 1, 20) == 20 })
	})
}

func TestARunWithABrokenJudgeEnds(t *testing.T) {
	t.Parallel()
	queuetest.OnEach(t, func(t *testing.T, r queuetest.Queue) {
		w := audittest.New(t, simlog.Options{Epochs: 5})
		w.Config.Canary = canary.New(1, accepting)
		summary, err := Run(t.Context(), r, w.Auditor(t), RunConfig{
			From: 1, To: 5, Window: 10, FaultWait: time.Hour, Worker: complete(Config{}),
		})
		if _, ok := errors.AsType[*canary.BrokenError](err); !ok || summary.Done() != 0 {
			t.Errorf("the run ended with %v, %+v", err, summary)
		}
		if _, err := w.Store.Verdict(t.Context(), jobstest.Namespace, 1); !errors.Is(err, auditstore.ErrNotFound) {
			t.Errorf("epoch 1 has a verdict: %v", err)
		}
	})
}
