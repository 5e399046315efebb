package audit

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/canary"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
)

// sabotaged is a judge that from a call on verifies everything.
func sabotaged(from int64) canary.Judge {
	var calls atomic.Int64
	return func(ctx context.Context, n validator.Name, r io.Reader, c validator.Configuration, o validator.Options) (validator.Result, error) {
		if calls.Add(1) >= from {
			return validator.Result{Outcome: validator.Verified}, nil
		}
		return validator.Verify(ctx, n, r, c, o)
	}
}

func TestCanaryIsRejectedInEveryEpoch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 6, Compression: simlog.Mixed, Tamper: map[uint64]simlog.Kind{4: simlog.Overlap}})
	w.config.Canary = canary.New(1, validator.Verify)
	m, series := jobstest.Measure(t)
	w.config.Metrics = m
	a := w.auditor(t)
	jobstest.Must(t, a.TestJudge(t.Context()))
	for epoch := uint64(1); epoch <= 6; epoch++ {
		v, err := a.Audit(t.Context(), epoch)
		jobstest.Must(t, err)
		if want := epoch != 4; (v.Outcome == verdict.Verified) != want {
			t.Errorf("epoch %d is %s (%s)", epoch, v.Outcome, v.Reason)
		}
	}
	// the built-in proof, and each epoch but the one that was rejected
	if got := series()["canary_total rejected"]; got != "6" {
		t.Errorf("%s tests, want 6: %v", got, series())
	}
	if got := jobstest.Incidents(t, w.Store); !slices.Equal(got, []string{"1-rejected.000000000004"}) {
		t.Errorf("incidents are %q", got)
	}
}

// The fourth call has the damaged copy of epoch 2 with an element listed twice: epoch 1 is judged,
// epoch 2 is not, and neither is any other, of any log of the process.
func TestASabotagedJudgeJudgesNoMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 6, Tamper: map[uint64]simlog.Kind{4: simlog.Overlap}})
	w.config.Canary = canary.New(1, sabotaged(4))
	m, series := jobstest.Measure(t)
	w.config.Metrics = m
	a := w.auditor(t)
	other := newWorld(t, simlog.Options{Epochs: 2})
	other.config.Canary = w.config.Canary

	v, err := a.Audit(t.Context(), 1)
	jobstest.Must(t, err)
	if v.Outcome != verdict.Verified {
		t.Errorf("epoch 1 is %s", v.Outcome)
	}
	for range 2 {
		for epoch := uint64(2); epoch <= 6; epoch++ {
			_, err := a.Audit(t.Context(), epoch)
			if _, broken := errors.AsType[*canary.BrokenError](err); !broken {
				t.Errorf("epoch %d: error is %v", epoch, err)
			}
			if _, err := w.Store.Verdict(t.Context(), jobstest.Namespace, epoch); !errors.Is(err, auditstore.ErrNotFound) {
				t.Errorf("epoch %d has a verdict: %v", epoch, err)
			}
			if evidence := w.Evidence(t, epoch); len(evidence) > 0 {
				t.Errorf("epoch %d: evidence %q", epoch, evidence)
			}
		}
	}
	_, err = a.Reaudit(t.Context(), 1)
	if _, broken := errors.AsType[*canary.BrokenError](err); !broken {
		t.Errorf("judging again: error is %v", err)
	}
	_, err = other.auditor(t).Audit(t.Context(), 1)
	if _, broken := errors.AsType[*canary.BrokenError](err); !broken {
		t.Errorf("another log: error is %v", err)
	}
	if got := jobstest.Incidents(t, w.Store); !slices.Equal(got, []string{"1-canary.000000000002"}) {
		t.Errorf("incidents are %q", got)
	}
	if got := series(); got["canary_total verified"] != "1" || got["canary_total rejected"] != "1" {
		t.Errorf("series are %v", got)
	}
}

func TestASabotagedJudgeIsFoundOutBeforeAnyEpoch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 1})
	w.config.Canary = canary.New(500, sabotaged(1))
	err := w.auditor(t).TestJudge(t.Context())
	if _, broken := errors.AsType[*canary.BrokenError](err); !broken {
		t.Errorf("error is %v", err)
	}
	if got := jobstest.Incidents(t, w.Store); !slices.Equal(got, []string{"1-canary.000000000000"}) {
		t.Errorf("incidents are %q", got)
	}
}

// A large proof is not copied; a built-in one takes its place.
func TestCanaryOfALargeEpoch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 1, FirstLoad: 15_000})
	w.config.Canary = canary.New(1, validator.Verify)
	m, series := jobstest.Measure(t)
	w.config.Metrics = m
	v, err := w.auditor(t).Audit(t.Context(), 1)
	jobstest.Must(t, err)
	if v.Batch.Bytes <= canary.MaxProof {
		t.Fatalf("the batch has %d bytes, which is small", v.Batch.Bytes)
	}
	if got := series()["canary_total rejected"]; got != "1" {
		t.Errorf("series are %v", series())
	}
}
