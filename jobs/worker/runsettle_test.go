package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/audittest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/audit"
)

// A run waits for what is unsettled, though it doesn't wait for what is missing.
func TestRunLetsEpochsSettle(t *testing.T) {
	t.Parallel()
	queuetest.OnEach(t, func(t *testing.T, r queuetest.Queue) {
		w := audittest.New(t, simlog.Options{Epochs: 12, Tamper: map[uint64]simlog.Kind{
			3: simlog.Malformed, 5: simlog.Missing, 8: simlog.Signature, 11: simlog.Digest}})
		w.Config.MinAge = 1500 * time.Millisecond
		for _, epoch := range []uint64{3, 11} { // as young as can be
			jobstest.CopyObject(t, w.Log, w.Log, w.KeyOf(t, epoch))
		}
		jobstest.CopyObject(t, w.Signatures, w.Signatures, fmt.Sprintf("%d.json", 8))
		got, err := runRange(t.Context(), r, w.Auditor(t), RunConfig{From: 1, To: 12, FaultWait: time.Minute})
		if want := (RunSummary{Total: 12, Verified: 8, Rejected: 3, Missing: 1}); err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	})
}

// One that never settles is given up in the end: somebody must look at it.
func TestRunGivesUpOnWhatNeverSettles(t *testing.T) {
	t.Parallel()
	queuetest.OnEach(t, func(t *testing.T, r queuetest.Queue) {
		w := audittest.New(t, simlog.Options{Epochs: 2, Tamper: map[uint64]simlog.Kind{2: simlog.Malformed}})
		w.Config.MinAge = 3 * time.Second // whoever touches it may not run for a while
		ctx, cancel := context.WithCancel(t.Context())
		var touching sync.WaitGroup
		defer touching.Wait()
		defer cancel()
		key := w.KeyOf(t, 2)
		content, err := w.Log.ReadAll(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		touching.Go(func() {
			for ctx.Err() == nil {
				_ = w.Log.WriteAll(ctx, key, content, nil)
				time.Sleep(20 * time.Millisecond)
			}
		})
		got, err := runRange(t.Context(), r, w.Auditor(t), RunConfig{From: 1, To: 2, FaultWait: time.Second})
		if want := (RunSummary{Total: 2, Verified: 1, Failed: 1}); err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	})
}

// Where no queue brings it back, a run takes up an epoch itself once it has rested.
func TestRunTakesUpWhatHasRested(t *testing.T) {
	t.Parallel()
	w := audittest.New(t, simlog.Options{Epochs: 3})
	a := w.Auditor(t)
	worker, err := New(nil, []*audit.Auditor{a}, complete(Config{}), a.Log)
	if err != nil {
		t.Fatal(err)
	}
	r := &run{auditor: a, worker: worker, next: 4, open: map[uint64]*epochState{
		1: {}, 2: {tooRecentSince: time.Now(), restsUntil: time.Now().Add(time.Hour)}, 3: {tooRecentSince: time.Now(), restsUntil: time.Now()},
	}}
	r.config.Worker.Concurrency = 4
	r.auditDirectly(t.Context())
	r.direct.Wait()
	if w.Judged(t, 1, 1) != 1 || w.Judged(t, 2, 2) != 0 || w.Judged(t, 3, 3) != 1 {
		t.Error("not the epochs that have rested were taken up")
	}
}

// What is unsettled is tried again when it has settled, and is no failure.
func TestRetryAfterUnsettled(t *testing.T) {
	t.Parallel()
	for _, wait := range []time.Duration{2 * time.Minute, 5 * time.Minute} {
		w := audittest.New(t, simlog.Options{Epochs: 1, Tamper: map[uint64]simlog.Kind{1: simlog.Malformed}})
		w.Config.MinAge = wait
		_, err := w.Auditor(t).Audit(t.Context(), 1)
		if !errors.Is(err, audit.ErrTooRecent) || isFailure(err) {
			t.Fatalf("%v is taken for something else", err)
		}
		after, ok := audit.RetryAfter(err)
		delay := (&Worker{config: complete(Config{})}).retryDelay(0, err)
		if !ok || after > wait || delay < after || delay > after*5/4+time.Second {
			t.Errorf("tried again after %s, want %s of at most %s", delay, after, wait)
		}
	}
}
