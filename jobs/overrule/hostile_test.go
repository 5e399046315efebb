package overrule

import (
	"testing"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/audittest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/verdict"
	"gocloud.dev/blob"
)

// A log that mends or takes away what was rejected, and has somebody overrule the verdict as if the
// mistake had been the auditor's, is not rid of the rejection's incident.
func TestAnotherBatchAcknowledgesNothing(t *testing.T) {
	t.Parallel()
	honest := audittest.New(t, simlog.Options{Epochs: 3})
	for name, c := range map[string]struct {
		tamper simlog.Kind
		mend   func(t *testing.T, w *audittest.World)
	}{
		"a batch that does not verify": {simlog.Malformed, func(t *testing.T, w *audittest.World) {
			data, err := honest.Log.ReadAll(t.Context(), honest.KeyOf(t, 2))
			jobstest.Must(t, err)
			jobstest.Must(t, w.Log.WriteAll(t.Context(), w.KeyOf(t, 2), data, nil))
		}},
		"two batches": {simlog.Equivocate, func(t *testing.T, w *audittest.World) {
			page, _, err := w.Log.ListPage(t.Context(), blob.FirstPageToken, 10, &blob.ListOptions{Prefix: "2/"})
			jobstest.Must(t, err)
			for _, object := range page {
				if object.Key != honest.KeyOf(t, 2) {
					jobstest.MoveObject(t, w.Log, object.Key, "")
				}
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := audittest.New(t, simlog.Options{Epochs: 3, Tamper: map[uint64]simlog.Kind{2: c.tamper}})
			a := w.Auditor(t)
			for epoch := uint64(1); epoch <= 3; epoch++ {
				_, err := a.Audit(t.Context(), epoch)
				jobstest.Must(t, err)
			}
			c.mend(t, w)
			o, err := Overrule(t.Context(), a, 2, "me", "our keys were wrong")
			if err == nil || o.Verdict.Outcome != verdict.Verified {
				t.Errorf("%s, %v, want verified, with an error", o.Verdict.Outcome, err)
			}
			if s := statusOf(t, w); s.Good() {
				t.Errorf("status is good: %+v", s)
			}
		})
	}
}
