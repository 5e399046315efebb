package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/audittest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

func TestKeptErrorIsTheSameError(t *testing.T) {
	t.Parallel()
	if err := kept("log", nil); err != nil {
		t.Errorf("of no error it made %v", err)
	}
	cause := fmt.Errorf("%s\x1b[2J\u202e: %w", strings.Repeat("x", 5000), fetcher.ErrNotPublished)
	for namespace, limit := range map[string]int{"log": keptMost, strings.Repeat("n", 128): keptLeast} {
		err := kept(namespace, cause)
		if len(err.Error()) > limit || strings.ContainsAny(err.Error(), "\x1b\u202e") {
			t.Errorf("%d bytes are kept: %q", len(err.Error()), err)
		}
		if !audit.IsNotYet(err) || !errors.Is(err, cause) {
			t.Errorf("%v is another error", err)
		}
	}
	if err := kept("log", fmt.Errorf("%w: odd", asynq.RevokeTask)); !errors.Is(err, asynq.RevokeTask) {
		t.Errorf("asynq would try %v again", err)
	}
	if isFailure(kept("log", context.Canceled)) {
		t.Error("a worker's end counts as a failure")
	}
}

// A server may say anything of any length. A task keeps the text of its last error, in Redis.
func TestHostileTextInTasks(t *testing.T) {
	t.Parallel()
	queuetest.OnEachRedis(t, func(t *testing.T, r *queue.Redis) {
		w := audittest.New(t, simlog.Options{Epochs: 3})
		w.Config.Fetcher = fetcher.New(blob.NewBucket(verbose{}), fetcher.Options{MaxAttempts: 1, Backoff: time.Millisecond})
		queuetest.MustPut(t, r, queue.Backfill, 1, 3, queue.EnqueueCounts{Enqueued: 3})
		startWorker(t, r, w.Auditor(t), Config{MaxRetryDelay: time.Hour})
		for epoch := uint64(1); epoch <= 3; epoch++ {
			jobstest.Eventually(t, "a failure", func() bool { return lastErr(r, epoch) != "" })
			key := queue.Key(queuetest.Backfill, "t:"+queue.Task{Namespace: jobstest.Namespace, Epoch: epoch}.ID())
			fields, err := r.Client.HGetAll(t.Context(), key).Result()
			if err != nil || len(fields) == 0 {
				t.Fatalf("the task is %v, %v", fields, err)
			}
			size := len(key)
			for name, value := range fields {
				size += len(name) + len(value)
			}
			if size > 1<<10 {
				t.Errorf("epoch %d: the task takes %d bytes", epoch, size)
			}
			if text := lastErr(r, epoch); strings.ContainsAny(text, "\x1b\u202e\n") || !strings.Contains(text, `\x1b`) {
				t.Errorf("epoch %d: the task keeps %q", epoch, text)
			}
		}
	})
}

// verbose is a log directory whose errors are long and meant for a terminal.
type verbose struct{ driver.Bucket }

func (verbose) ListPaged(context.Context, *driver.ListOptions) (*driver.ListPage, error) {
	return nil, errors.New("\x1b[2J\u202e\n" + strings.Repeat("x", 62<<10))
}
func (verbose) ErrorCode(error) gcerrors.ErrorCode { return gcerrors.Unknown }
func (verbose) ErrorAs(error, any) bool            { return false }
func (verbose) Close() error                       { return nil }
