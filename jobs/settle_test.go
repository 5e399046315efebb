package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/signature"
)

func TestSettled(t *testing.T) {
	t.Parallel()
	cause := &fetcher.NameError{Epoch: 1, Err: fetcher.ErrCorrupt}
	for _, c := range []struct {
		name   string
		settle time.Duration
		age    time.Duration
		wait   time.Duration // 0: it is settled
	}{
		{"new", time.Minute, 0, time.Minute},
		{"half way", time.Minute, 30 * time.Second, 30 * time.Second},
		{"old", time.Minute, 61 * time.Second, 0},
		{"by a clock that is a little fast", time.Minute, -30 * time.Second, 90 * time.Second},
		{"by a clock that is wrong", time.Minute, -time.Hour, 0},
		{"of a log that is known to be written", -1, 0, 0},
	} {
		a := &Auditor{AuditorConfig: AuditorConfig{Settle: c.settle}}
		err := a.settled(time.Now().Add(-c.age), cause)
		if (err == nil) != (c.wait == 0) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err == nil {
			continue
		}
		delay := (&Worker{config: WorkerConfig{}.withDefaults()}).retryDelay(0, err, nil)
		if !errors.Is(err, ErrUnsettled) || !IsNotYet(err) || isFailure(err) || isFinding(err) || errors.Is(err, fetcher.ErrCorrupt) {
			t.Errorf("%s: %v is taken for something else", c.name, err)
		}
		if delay < c.wait-5*time.Second || delay > c.wait*5/4+time.Second {
			t.Errorf("%s: looks again after %s, want %s", c.name, delay, c.wait)
		}
	}
	a := &Auditor{AuditorConfig: AuditorConfig{Settle: time.Minute}}
	if err := a.settled(time.Time{}, cause); err != nil {
		t.Errorf("in a store that doesn't say when: %v", err)
	}
	w := newWorld(t, simlog.Options{Epochs: 1})
	w.config.Settle = 0
	if got := w.auditor(t).Settle; got != time.Minute {
		t.Errorf("by default it is %s", got)
	}
}

// While a log is copied into place its files are there by halves. None of that is held against it while it is young; when it is
// old, all is.
func TestHalfWrittenIsNotRejected(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		half func(t *testing.T, w *world) (whole func())
	}{
		{"batch", func(t *testing.T, w *world) func() {
			key := w.keyOf(t, 2)
			whole, err := w.log.ReadAll(t.Context(), key)
			if err == nil {
				err = w.log.WriteAll(t.Context(), key, whole[:len(whole)/2], nil)
			}
			if err != nil {
				t.Fatal(err)
			}
			return func() { _ = w.log.WriteAll(context.Background(), key, whole, nil) }
		}},
		{"batch under a temporary name", func(t *testing.T, w *world) func() {
			key := w.keyOf(t, 2)
			cut := strings.LastIndex(key, "/") + 1
			temporary := key[:cut] + "." + key[cut:] + ".k3J9xQ"
			moveObject(t, w.log, key, temporary)
			return func() { moveObject(t, w.log, temporary, key) }
		}},
		{"signed digest", func(t *testing.T, w *world) func() {
			whole := readSigned(t, w, 2)
			write(2, "{")(t, w)
			return func() { writeSigned(t, w, 2, whole) }
		}},
		{"signed digest without its first byte", func(t *testing.T, w *world) func() {
			whole := readSigned(t, w, 2)
			write(2, "")(t, w)
			return func() { writeSigned(t, w, 2, whole) }
		}},
		{"signed digest of the epoch before", func(t *testing.T, w *world) func() {
			whole := readSigned(t, w, 1)
			write(1, "{")(t, w)
			w.config.First = 2
			return func() { writeSigned(t, w, 1, whole) }
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, simlog.Options{Epochs: 2})
			w.config.Settle = time.Hour
			whole := c.half(t, w)
			if _, err := w.auditor(t).Audit(t.Context(), 2); !errors.Is(err, ErrUnsettled) {
				t.Fatalf("error is %v, want ErrUnsettled", err)
			}
			if _, err := w.config.Store.Verdict(t.Context(), testNamespace, 2); !errors.Is(err, auditstore.ErrNotFound) {
				t.Fatalf("a verdict was written, %v", err)
			}
			whole() // and what is right is held back by nothing
			if v, err := w.auditor(t).Audit(t.Context(), 2); err != nil || v.Outcome != verdict.Verified {
				t.Errorf("when it is whole, the verdict is %s (%s), %v", v.Outcome, v.Detail, err)
			}
		})
		t.Run(c.name+", for long", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, simlog.Options{Epochs: 2})
			w.config.Settle = 50 * time.Millisecond
			c.half(t, w)
			a := w.auditor(t)
			eventually(t, "a verdict", func() bool {
				v, err := a.Audit(t.Context(), 2)
				return err == nil && v.Outcome == verdict.Rejected
			})
		})
	}
}

// What is signed by a trusted key is whole, and two names are two names however new they are.
func TestSettledAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 5, Tamper: map[uint64]simlog.Kind{2: simlog.Equivocate}})
	w.config.Settle = time.Hour
	resign(3, func(s *signature.SignedDigest) { s.Digest[0] ^= 1 })(t, w)
	resign(5, func(s *signature.SignedDigest) { s.Timestamp = 1 })(t, w)
	a := w.auditor(t)
	for epoch, reason := range map[uint64]verdict.Reason{2: "equivocation", 3: "signature_digest_mismatch", 5: "signature_invalid"} {
		if v, err := a.Audit(t.Context(), epoch); err != nil || v.Reason != reason {
			t.Errorf("epoch %d is %s (%s), %v, want %s", epoch, v.Outcome, v.Reason, err, reason)
		}
	}
}

// A run waits for what is unsettled, though it doesn't wait for what is missing.
func TestRunLetsEpochsSettle(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		w := newWorld(t, simlog.Options{Epochs: 12, Tamper: map[uint64]simlog.Kind{
			3: simlog.Malformed, 5: simlog.Missing, 8: simlog.Signature, 11: simlog.Digest}})
		w.config.Settle = 1500 * time.Millisecond
		for _, epoch := range []uint64{3, 11} { // as young as can be
			copyObject(t, w.log, w.log, w.keyOf(t, epoch))
		}
		copyObject(t, w.signatures, w.signatures, fmt.Sprintf("%d.json", 8))
		got, err := Run(t.Context(), r, w.auditor(t), RunConfig{From: 1, To: 12, FaultWait: time.Minute})
		if want := (RunSummary{Total: 12, Verified: 8, Rejected: 3, Missing: 1}); err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	})
}

// One that never settles is given up in the end: somebody must look at it.
func TestRunGivesUpOnWhatNeverSettles(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		w := newWorld(t, simlog.Options{Epochs: 2, Tamper: map[uint64]simlog.Kind{2: simlog.Malformed}})
		w.config.Settle = 3 * time.Second // whoever touches it may not run for a while
		ctx, cancel := context.WithCancel(t.Context())
		var touching sync.WaitGroup
		defer touching.Wait()
		defer cancel()
		key := w.keyOf(t, 2)
		content, err := w.log.ReadAll(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		touching.Go(func() {
			for ctx.Err() == nil {
				_ = w.log.WriteAll(ctx, key, content, nil)
				time.Sleep(20 * time.Millisecond)
			}
		})
		got, err := Run(t.Context(), r, w.auditor(t), RunConfig{From: 1, To: 2, FaultWait: time.Second})
		if want := (RunSummary{Total: 2, Verified: 1, Failed: 1}); err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	})
}

// Where no queue brings it back, a run takes up an epoch itself once it has rested.
func TestRunTakesUpWhatHasRested(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 3})
	a := w.auditor(t)
	worker, err := NewWorker(nil, []*Auditor{a}, WorkerConfig{}, a.Log)
	if err != nil {
		t.Fatal(err)
	}
	r := &run{auditor: a, worker: worker, next: 4, open: map[uint64]*openEpoch{
		1: {}, 2: {unsettledSince: time.Now(), restsUntil: time.Now().Add(time.Hour)}, 3: {unsettledSince: time.Now(), restsUntil: time.Now()},
	}}
	r.config.Worker.Concurrency = 4
	r.takeUp(t.Context())
	r.direct.Wait()
	if w.judged(t, 1, 1) != 1 || w.judged(t, 2, 2) != 0 || w.judged(t, 3, 3) != 1 {
		t.Error("not the epochs that have rested were taken up")
	}
}
