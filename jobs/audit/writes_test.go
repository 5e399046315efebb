package audit

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/jobs/verify"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
)

// Nobody hurries a worker that was not told to stop: a large archive on a slow line takes what it
// takes.
func TestSlowArchiveStillEndsInAVerdict(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 1})
	w.config.Archive = true
	w.config.Store = w.storeWith(t, func(ctx context.Context, key string) error {
		if strings.Contains(key, "/archive/") {
			time.Sleep(10 * verify.SaveTimeout)
		}
		return ctx.Err()
	})
	synctest.Test(t, func(t *testing.T) {
		if v, err := w.auditor(t).Audit(t.Context(), 1); err != nil || v.Outcome != verdict.Verified {
			t.Errorf("verdict is %s, %v", v.Outcome, err)
		}
	})
}

// A worker that was told to stop while it saves a verdict has some time for it, but not for ever.
func TestSavingOutlivesTheJobForAWhile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		takes time.Duration
		saved bool
	}{{verify.SaveTimeout / 2, true}, {2 * verify.SaveTimeout, false}} {
		w := newWorld(t, simlog.Options{Epochs: 1})
		stopped := make(chan struct{})
		w.config.Store = w.storeWith(t, func(ctx context.Context, key string) error {
			if strings.Contains(key, "/signatures/") {
				close(stopped)
				time.Sleep(c.takes)
			}
			return ctx.Err()
		})
		synctest.Test(t, func(t *testing.T) {
			stopped = make(chan struct{})
			ctx, stop := context.WithCancel(t.Context())
			go func() {
				<-stopped
				stop()
			}()
			if _, err := w.auditor(t).Audit(ctx, 1); (err == nil) != c.saved {
				t.Errorf("it takes %s: %v", c.takes, err)
			}
		})
	}
}

// What contradicts a verdict on record must not be lost without a word.
func TestContradictionThatCannotBeKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 1})
	var log bytes.Buffer
	w.config.Log = zerolog.New(&log)
	down := true
	w.config.Store = w.storeWith(t, func(_ context.Context, key string) error {
		if down && strings.Contains(key, "/evidence/") {
			return jobstest.ErrFault
		}
		return nil
	})
	a := w.auditor(t)
	measured := &attempt{Attempt: observe.Nothing{}}
	_, j := w.judgeReplaced(t, a, measured)
	_, _, err := a.record(t.Context(), measured, j)
	if _, settled := errors.AsType[*ContradictionError](err); settled || err == nil {
		t.Errorf("error is %v, want one to try again after", err)
	}
	if !strings.Contains(log.String(), `"found":{"schema":1,`) || !strings.Contains(log.String(), j.verdict.Detail) {
		t.Errorf("the log does not have the verdict:\n%s", log.String())
	}
	down = false
	if _, _, err := a.record(t.Context(), measured, j); err == nil || len(w.Evidence(t, 1)) == 0 {
		t.Errorf("error is %v, evidence %q", err, w.Evidence(t, 1))
	}
}

// storeWith is the world's audit store with a hook that is called before each write, and may fail
// it.
func (w *world) storeWith(t testing.TB, hook func(ctx context.Context, key string) error) *auditstore.Store {
	t.Helper()
	reads := jobstest.FaultyBucket{Faults: &jobstest.FaultyReads{Seed: rand.New(rand.NewPCG(1, 1))}, B: w.Audit}
	b := blob.NewBucket(&hookedBucket{FaultyBucket: reads, hook: hook})
	t.Cleanup(func() { _ = b.Close() })
	return auditstore.New(b)
}

// hookedBucket calls hook before it writes.
type hookedBucket struct {
	jobstest.FaultyBucket
	hook func(ctx context.Context, key string) error
}

func (b *hookedBucket) NewTypedWriter(ctx context.Context, key, contentType string, o *driver.WriterOptions) (driver.Writer, error) {
	return &hookedWriter{bucket: b, ctx: ctx, key: key, options: o}, nil
}

type hookedWriter struct {
	bytes.Buffer
	bucket  *hookedBucket
	ctx     context.Context
	key     string
	options *driver.WriterOptions
}

func (w *hookedWriter) Close() error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if err := w.bucket.hook(w.ctx, w.key); err != nil {
		return err
	}
	return w.bucket.B.WriteAll(w.ctx, w.key, w.Bytes(), &blob.WriterOptions{IfNotExist: w.options.IfNotExist})
}
