package audit

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
)

func TestEpochsAreMeasured(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 4, Tamper: map[uint64]simlog.Kind{3: simlog.Digest, 4: simlog.Missing}})
	m, series := jobstest.Measure(t)
	w.config.Metrics = m
	a := w.auditor(t)
	for epoch := uint64(1); epoch <= 4; epoch++ {
		if _, err := a.Audit(t.Context(), epoch); err != nil && !IsNotYet(err) {
			t.Fatal(err)
		}
	}
	if _, err := a.Audit(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	got := series()
	for name, want := range map[string]string{
		"epochs_total verified":                 "2",
		"epochs_total rejected,digest_mismatch": "1",
		"epochs_total duplicate":                "1",
		"epoch_failures_total not_published":    "1",
		"epoch_stage_seconds_count locate":      "4",
		"epoch_seconds_count":                   "3",
		"epoch_stage_seconds_count verify":      "4", // a rejected batch is looked at twice
		"epoch_stage_seconds_count write":       "3",
		"active_epochs":                         "",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if got["downloaded_bytes_total"] == "" || got["last_rejected_timestamp_seconds digest_mismatch"] == "" {
		t.Error("neither bytes nor the time of the rejection are measured")
	}
	if t.Failed() {
		t.Log(got)
	}
}

func TestFailuresAreMeasured(t *testing.T) {
	t.Parallel()
	expired, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	fault := errors.New("connection reset")
	cases := []struct {
		name string
		ctx  context.Context
		at   observe.Failure
		err  error
		want observe.Failure
	}{
		{"not published", t.Context(), observe.LogDirectory, fetcher.ErrNotPublished, observe.NotPublished},
		{"just written", t.Context(), observe.LogDirectory, &tooRecentError{cause: fault}, observe.Unsettled},
		{"not signed", t.Context(), observe.Signatures, ErrNoSignature, observe.NotSigned},
		{"unknown key", t.Context(), observe.Signatures, signature.ErrUnknownKey, observe.UnknownKey},
		{"handed back", t.Context(), observe.AuditStore, context.Canceled, observe.HandedBack},
		{"too long", expired, observe.LogDirectory, context.DeadlineExceeded, observe.Timeout},
		{"one request too long", t.Context(), observe.AuditStore, context.DeadlineExceeded, observe.AuditStore},
		{"fault", t.Context(), observe.LogDirectory, fault, observe.LogDirectory},
		{"panic", t.Context(), observe.Panic, fault, observe.Panic},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			attempt := &attempt{Attempt: observe.Nothing{}, reaching: c.at}
			if got := attempt.result(c.ctx, verdict.Verdict{}, false, c.err); got.Failure != c.want || got.Outcome != "" {
				t.Errorf("%+v, want %s", got, c.want)
			}
		})
	}
}

// An audit store that is down is counted as such, though its first answer is needed before any work
// begins.
func TestAuditStoreDownIsMeasured(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 1})
	m, series := jobstest.Measure(t)
	w.config.Metrics = m
	a := w.auditor(t)
	_ = w.Audit.Close()
	if _, err := a.Audit(t.Context(), 1); err == nil {
		t.Fatal("an epoch was judged without a store")
	}
	if got := series(); got["epoch_failures_total audit_store"] != "1" {
		t.Errorf("measured %v", got)
	}
}
