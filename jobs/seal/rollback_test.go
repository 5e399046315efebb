package seal

import (
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/jobs/verdictcheck"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

// A rollback whose later end was judged first shows to nobody who looks at new verdicts, and is
// raised by a look at all stretches, once.
func TestRollbackJudgedBackwards(t *testing.T) {
	t.Parallel()
	store := auditstore.New(jobstest.OpenMemory(t))
	jobstest.Must(t, verdictcheck.CompleteIndex(t.Context(), store, jobstest.Namespace))
	s := sealer(store)
	var checked epochset.Set
	for epoch := uint64(12); epoch > 0; epoch-- {
		jobstest.Record(t, store, epoch, epoch, func(v *verdict.Verdict) bool {
			if v.Epoch == 8 {
				v.PreviousDigest = jobstest.DigestOf("", 3)
			}
			return v.Epoch != 7
		})
		if epoch != 7 {
			jobstest.Must(t, s.checker().Check(t.Context(), []uint64{epoch}, &checked))
		}
	}
	jobstest.WantNotices(t, store)
	for range 2 {
		jobstest.Must(t, s.CheckStretches(t.Context(), 1, verdict.Anchor{}))
		jobstest.WantNotices(t, store, "1-contradiction.000000000008.chain")
	}
}
