package worker

import (
	"testing"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/audittest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/signature"
)

// However many are at it at once, what comes out is one history and one rejection.
func TestForkInARun(t *testing.T) {
	t.Parallel()
	w := audittest.Of(jobstest.NewSplicedWorld(t))
	w.Config.Keys, w.Config.Signatures = signature.Keys{}, nil
	r := queuetest.Miniredis(t)
	got, err := runRange(t.Context(), r, w.Auditor(t), RunConfig{From: 1, To: 20, Worker: Config{Concurrency: 20}})
	if want := (RunSummary{Total: 20, Verified: 19, Rejected: 1}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}
