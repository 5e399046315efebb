package audit

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
)

func TestSettled(t *testing.T) {
	t.Parallel()
	cause := &fetcher.NameError{Epoch: 1, Err: fetcher.ErrCorrupt}
	for _, c := range []struct {
		name   string
		minAge time.Duration
		age    time.Duration
		wait   time.Duration // 0: it is settled
	}{
		{"new", time.Minute, 0, time.Minute},
		{"half way", time.Minute, 30 * time.Second, 30 * time.Second},
		{"old", time.Minute, 61 * time.Second, 0},
		{"by a clock that is a little fast", time.Minute, -30 * time.Second, 90 * time.Second},
		{"by a clock that is wrong", time.Minute, -time.Hour, 0},
		{"of a log that is known to be written", 0, 0, 0},
	} {
		a := &Auditor{Config: Config{MinAge: c.minAge}}
		err := a.oldEnough(time.Now().Add(-c.age), cause)
		if (err == nil) != (c.wait == 0) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err == nil {
			continue
		}
		after, _ := RetryAfter(err)
		if !errors.Is(err, ErrTooRecent) || !IsNotYet(err) || fetcher.Reason(err) != "" || errors.Is(err, fetcher.ErrCorrupt) {
			t.Errorf("%s: %v is taken for something else", c.name, err)
		}
		if after < c.wait-5*time.Second || after > c.wait {
			t.Errorf("%s: to look again after %s, want %s", c.name, after, c.wait)
		}
	}
	a := &Auditor{Config: Config{MinAge: time.Minute}}
	if err := a.oldEnough(time.Time{}, cause); err != nil {
		t.Errorf("in a store that doesn't say when: %v", err)
	}
}

// While a log is copied into place its files are there by halves. None of that is held against it
// while it is young; when it is old, all is.
func TestHalfWrittenIsNotRejected(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		half func(t *testing.T, w *world) (whole func())
	}{
		{"batch", func(t *testing.T, w *world) func() {
			key := w.KeyOf(t, 2)
			whole, err := w.Log.ReadAll(t.Context(), key)
			if err == nil {
				err = w.Log.WriteAll(t.Context(), key, whole[:len(whole)/2], nil)
			}
			if err != nil {
				t.Fatal(err)
			}
			return func() { _ = w.Log.WriteAll(context.Background(), key, whole, nil) }
		}},
		{"batch under a temporary name", func(t *testing.T, w *world) func() {
			key := w.KeyOf(t, 2)
			cut := strings.LastIndex(key, "/") + 1
			temporary := key[:cut] + "." + key[cut:] + ".k3J9xQ"
			jobstest.MoveObject(t, w.Log, key, temporary)
			return func() { jobstest.MoveObject(t, w.Log, temporary, key) }
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
			w.config.MinAge = time.Hour
			whole := c.half(t, w)
			if _, err := w.auditor(t).Audit(t.Context(), 2); !errors.Is(err, ErrTooRecent) {
				t.Fatalf("error is %v, want ErrTooRecent", err)
			}
			if _, err := w.config.Store.Verdict(t.Context(), jobstest.Namespace, 2); !errors.Is(err, auditstore.ErrNotFound) {
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
			w.config.MinAge = 50 * time.Millisecond
			c.half(t, w)
			a := w.auditor(t)
			jobstest.Eventually(t, "a verdict", func() bool {
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
	w.config.MinAge = time.Hour
	resign(3, func(s *signature.SignedDigest) { s.Digest[0] ^= 1 })(t, w)
	resign(5, func(s *signature.SignedDigest) { s.Timestamp = 1 })(t, w)
	a := w.auditor(t)
	for epoch, reason := range map[uint64]verdict.Reason{2: "equivocation", 3: "signature_digest_mismatch", 5: "signature_invalid"} {
		if v, err := a.Audit(t.Context(), epoch); err != nil || v.Reason != reason {
			t.Errorf("epoch %d is %s (%s), %v, want %s", epoch, v.Outcome, v.Reason, err, reason)
		}
	}
}
