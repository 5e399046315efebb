package verdictcheck_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/verdictcheck"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
	"github.com/rs/zerolog"
)

// What verdicts show is raised once, and a verdict that cannot be read keeps none but itself from
// being checked.
func TestCheckRaisesWhatVerdictsShow(t *testing.T) {
	t.Parallel()
	audit := jobstest.OpenMemory(t)
	store := auditstore.New(audit)
	jobstest.Verify(t, store, 1, 2)
	jobstest.Judge(t, store, 3, verdict.Rejected, "overlapping_labels", 2, 3)
	jobstest.Judge(t, store, 4, verdict.Verified, "", 1, 4)    // as if 2 had never been
	jobstest.Judge(t, store, 5, verdict.Verified, "", 7777, 5) // from nowhere
	jobstest.Must(t, audit.WriteAll(t.Context(), jobstest.Namespace+"/verdicts/000000000/000000000006.json", []byte("{"), nil))
	c := verdictcheck.Checker{
		Namespace: jobstest.Namespace, Store: store, Incidents: incident.Recorder{Store: store, Log: zerolog.Nop()},
	}
	for range 2 {
		var checked epochset.Set
		if err := c.Check(t.Context(), jobstest.Span(1, 6), &checked); !errors.Is(err, auditstore.ErrCorrupt) {
			t.Errorf("epoch 6 cannot be read, and it says %v", err)
		}
		for _, epoch := range jobstest.Span(1, 6) {
			if checked.Has(epoch) != (epoch < 6) {
				t.Errorf("epoch %d is checked: %v", epoch, checked.Has(epoch))
			}
		}
	}
	want := []string{
		"1-contradiction.000000000004.chain", "1-contradiction.000000000005.chain", "1-rejected.000000000003",
	}
	if got := jobstest.Incidents(t, store); !slices.Equal(got, want) {
		t.Errorf("raised are %q, want %q", got, want)
	}
}
