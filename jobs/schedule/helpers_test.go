package schedule

import (
	"cmp"
	"context"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/seal"
	"github.com/ktaudit/ktaudit/jobs/worker"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

// so often, and over so many times the log's cadence, an epoch is missing before it is skipped
const skippedAnswers, skippedCadences = 3, 4

// startWorker runs a worker until the test ends or the function is called.
func startWorker(t *testing.T, r *queue.Redis, a *audit.Auditor, c worker.Config) (stop func()) {
	t.Helper()
	c = completeWorker(c)
	w, err := worker.New(r, []*audit.Auditor{a}, c, a.Log)
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

func sealer(store *auditstore.Store) *seal.Sealer {
	return &seal.Sealer{Store: store, Namespace: jobstest.Namespace, Log: zerolog.Nop()}
}

func sealAll(t testing.TB, s *seal.Sealer) seal.Counts {
	t.Helper()
	counts, err := s.Seal(t.Context(), 1, verdict.MaxEpoch)
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

// completeWorker sets the fields that a test leaves open.
func completeWorker(c worker.Config) worker.Config {
	c.Concurrency, c.ShutdownTimeout, c.PollInterval = 8, 30*time.Second, 20*time.Millisecond
	c.NotYetDelay = cmp.Or(c.NotYetDelay, 30*time.Second)
	c.MaxRetryDelay = cmp.Or(c.MaxRetryDelay, 10*time.Minute)
	return c
}
