package audit

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/verdict"
)

// A rejection is in the outbox before it is on record: after a crash between the two the epoch is
// judged again. The other way round nobody would look at the epoch any more, and nobody would be
// told.
func TestAlertComesBeforeItsVerdict(t *testing.T) {
	t.Parallel()
	const epoch = 2
	w := newWorld(t, simlog.Options{Epochs: 3, Tamper: map[uint64]simlog.Kind{epoch: simlog.Rewrite}})
	alertKey := fmt.Sprintf("%s/alerts/open/1-rejected.%012d.json", jobstest.Namespace, epoch)
	verdictKey := fmt.Sprintf("%s/verdicts/000000000/%012d.json", jobstest.Namespace, epoch)
	s := &jobstest.ArchiveStore{Bucket: w.Audit, Store: w.config.Store}
	for _, carriedOut := range []bool{false, true} {
		failing := true
		_, watched := s.Watched(t, func(_ int64, request string) (error, bool) {
			if failing && request == "write "+alertKey {
				return jobstest.ErrFault, carriedOut
			}
			if strings.HasPrefix(request, "write "+verdictKey) && len(jobstest.Incidents(t, s.Store)) != 1 {
				t.Error("the verdict is written, and its alert is not in the outbox")
			}
			return nil, false
		})
		w.config.Store = watched.Store
		a := w.auditor(t)
		if v, err := a.Audit(t.Context(), epoch); err == nil {
			t.Errorf("carried out %v: the alert cannot be raised, and the verdict is %s", carriedOut, v.Outcome)
		}
		if exists, err := w.Audit.Exists(t.Context(), verdictKey); err != nil || exists {
			t.Fatalf("carried out %v: there is a verdict without its alert: %v", carriedOut, err)
		}
		failing = false
	}
	_, watched := s.Watched(t, jobstest.NoFault)
	w.config.Store = watched.Store
	v, err := w.auditor(t).Audit(t.Context(), epoch)
	if err != nil || v.Outcome != verdict.Rejected || len(jobstest.Incidents(t, s.Store)) != 1 {
		t.Errorf("verdict %s, %v, told of %q", v.Outcome, err, jobstest.Incidents(t, s.Store))
	}
}
