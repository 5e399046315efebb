package verdictcheck_test

import (
	"slices"
	"testing"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/jobs/verdictcheck"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
	"github.com/rs/zerolog"
)

// A verified epoch behind a rejected one that claims another digest than it begins with is an
// incident of its own: to acknowledge the rejection does not hide it.
func TestIslandBehindAnAcknowledgedRejection(t *testing.T) {
	t.Parallel()
	const island = "1-contradiction.000000000008.chain"
	for _, c := range []struct {
		name   string
		change func(v *verdict.Verdict) bool
		island bool
	}{
		{"an island", func(v *verdict.Verdict) bool {
			if v.Epoch == 8 {
				v.PreviousDigest = jobstest.DigestOf("other", 7)
			}
			return true
		}, true},
		{"behind several rejected epochs", func(v *verdict.Verdict) bool {
			switch v.Epoch {
			case 5, 6:
				jobstest.Reject(v)
			case 8:
				v.PreviousDigest = jobstest.DigestOf("other", 7)
			}
			return true
		}, true},
		{"what is claimed", func(*verdict.Verdict) bool { return true }, false},
		{"what was rejected is taken back", func(v *verdict.Verdict) bool {
			if v.Epoch == 8 {
				v.PreviousDigest = jobstest.DigestOf("", 6)
			}
			return true
		}, false},
		{"another batch of the rejected epoch", func(v *verdict.Verdict) bool {
			switch v.Epoch {
			case 7:
				v.Reason, v.Detail = verdict.Equivocation, "2 batches: one that ends with "+jobstest.DigestOf("other", 7)
			case 8:
				v.PreviousDigest = jobstest.DigestOf("other", 7)
			}
			return true
		}, false},
		{"no digest is claimed", func(v *verdict.Verdict) bool {
			switch v.Epoch {
			case 7:
				v.PreviousDigest, v.Digest = "", ""
			case 8:
				v.PreviousDigest = jobstest.DigestOf("other", 7)
			}
			return true
		}, false},
		{"behind a gap, too", func(v *verdict.Verdict) bool {
			if v.Epoch == 8 {
				v.PreviousDigest = jobstest.DigestOf("other", 7)
			}
			return v.Epoch != 6
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := jobstest.NewArchiveStore(t)
			jobstest.Record(t, s.Store, 1, 12, func(v *verdict.Verdict) bool {
				if v.Epoch == 7 {
					jobstest.Reject(v)
				}
				return c.change(v)
			})
			jobstest.Must(t, verdictcheck.CompleteIndex(t.Context(), s.Store, jobstest.Namespace))
			r := incident.Recorder{Store: s.Store, Log: zerolog.Nop()}
			checker := verdictcheck.Checker{Namespace: jobstest.Namespace, Store: s.Store, Incidents: r}
			acknowledge := func(want func(string) bool) {
				l, err := incident.ReadList(t.Context(), s.Store, jobstest.Namespace)
				jobstest.Must(t, err)
				for _, o := range l.Open {
					if want(string(o.Kind)) {
						_, _, err := r.Acknowledge(t.Context(), incident.Acknowledgement{
							Namespace: jobstest.Namespace, Incident: o.Incident, By: "alice", Reason: "seen",
						})
						jobstest.Must(t, err)
					}
				}
			}
			wrong := func() bool {
				status, err := report.ReadStatus(t.Context(), s.Store, jobstest.Namespace, verdict.Anchor{}, 0, 0)
				jobstest.Must(t, err)
				return status.Wrong(false)
			}
			for range 2 {
				jobstest.Must(t, checker.Check(t.Context(), judged(t, s), new(epochset.Set)))
			}
			if got := jobstest.Incidents(t, s.Store); slices.Contains(got, island) != c.island {
				t.Errorf("told of %q", got)
			}
			acknowledge(func(kind string) bool { return kind != "contradiction" })
			if wrong() != c.island {
				t.Errorf("with the rejection acknowledged, wrong is %v", wrong())
			}
			acknowledge(func(string) bool { return true })
			if wrong() {
				t.Error("wrong though all is acknowledged")
			}
		})
	}
}
