package incident_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

// counts are metrics that count alerts.
type counts struct {
	observe.Nothing
	raised []string
}

func (c *counts) AlertRaised(_, kind string) { c.raised = append(c.raised, kind) }

// Whatever is found twice is on record once, and counted once.
func TestBrokenChainIsRecordedOnce(t *testing.T) {
	t.Parallel()
	store, metrics := jobstest.NewArchiveStore(t), &counts{}
	r := incident.Recorder{Store: store.Store, Metrics: metrics, Log: zerolog.Nop()}
	first, second := jobstest.GoodVerdict(6), jobstest.GoodVerdict(8)
	second.Epoch = 7 // which does not start where 6 ends
	for range 2 {
		jobstest.Must(t, r.RecordBrokenChain(t.Context(), verdict.BrokenChain, first, second))
	}
	if got := jobstest.Incidents(t, store.Store); !slices.Equal(got, []string{"1-contradiction.000000000007.chain"}) {
		t.Errorf("in the outbox is %q", got)
	}
	evidence := slices.DeleteFunc(slices.Collect(maps.Keys(store.Kept(t))), func(key string) bool { return !strings.Contains(key, "/evidence/") })
	if len(evidence) != 1 || !strings.Contains(evidence[0], "000000000007/broken-chain-") {
		t.Errorf("evidence is %q, want one object on epoch 7", evidence)
	}
	if !slices.Equal(metrics.raised, []string{string(alert.Contradiction)}) {
		t.Errorf("counted are %q", metrics.raised)
	}
}

// There is no alert without its evidence: where that cannot be written, or a crash comes before the
// alert, the next who finds the two does both.
func TestEvidenceComesBeforeItsAlert(t *testing.T) {
	t.Parallel()
	store := jobstest.NewArchiveStore(t)
	first, second := jobstest.GoodVerdict(6), jobstest.GoodVerdict(8)
	second.Epoch = 7
	for _, failing := range []string{"/evidence/", "/incidents/open/", "/alerts/open/"} {
		_, watched := store.Watched(t, func(_ int64, request string) (error, bool) {
			if strings.HasPrefix(request, "write ") && strings.Contains(request, failing) {
				return jobstest.ErrFault, false
			}
			return nil, false
		})
		r := incident.Recorder{Store: watched.Store, Log: zerolog.Nop()}
		if err := r.RecordBrokenChain(t.Context(), verdict.BrokenChain, first, second); err == nil {
			t.Errorf("no error though writes below %s fail", failing)
		}
		if got := jobstest.Incidents(t, store.Store); len(got) != 0 {
			t.Errorf("writes below %s fail, and in the outbox is %q", failing, got)
		}
	}
	r := incident.Recorder{Store: store.Store, Log: zerolog.Nop()}
	jobstest.Must(t, r.RecordBrokenChain(t.Context(), verdict.BrokenChain, first, second))
	if got := jobstest.Incidents(t, store.Store); len(got) != 1 {
		t.Errorf("in the outbox is %q, want one alert", got)
	}
}
