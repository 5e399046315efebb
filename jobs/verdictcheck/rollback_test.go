package verdictcheck_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/verdictcheck"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
	"github.com/rs/zerolog"
)

// TestRollbacks judges logs of twelve epochs, in their order and backwards, by workers that enter
// digests in the index and by such that did not.
func TestRollbacks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		rejected []uint64
		missing  []uint64
		begin    map[uint64]uint64 // with the digest of which epoch one begins
		want     map[uint64]uint64 // which epoch goes back to which
	}{
		{"none", nil, nil, nil, nil},
		{"behind a rejected epoch", []uint64{7}, nil, map[uint64]uint64{8: 3}, map[uint64]uint64{8: 3}},
		{"behind an epoch that was never published", nil, []uint64{7}, map[uint64]uint64{8: 3}, map[uint64]uint64{8: 3}},
		{"behind several of both", []uint64{6}, []uint64{5, 7}, map[uint64]uint64{8: 2}, map[uint64]uint64{8: 2}},
		{"at a break", nil, nil, map[uint64]uint64{8: 3}, map[uint64]uint64{8: 3}},
		{"to the first", nil, []uint64{11}, map[uint64]uint64{12: 1}, map[uint64]uint64{12: 1}},
		{"twice to the same", nil, []uint64{5, 9}, map[uint64]uint64{6: 2, 10: 2}, map[uint64]uint64{6: 2, 10: 2}},
		{"from an island", nil, []uint64{4, 9}, map[uint64]uint64{10: 6}, map[uint64]uint64{10: 6}},
		{"a gap in one log", nil, []uint64{7}, nil, nil},
		{"what was rejected is taken back", []uint64{5, 6, 7}, nil, map[uint64]uint64{8: 4}, nil},
		{"two islands that continue each other", nil, []uint64{4, 8}, map[uint64]uint64{5: 100, 9: 7}, nil},
		{"to a digest of a rejected epoch", []uint64{3, 7}, nil, map[uint64]uint64{8: 3}, nil},
		{"to a later epoch", nil, []uint64{5}, map[uint64]uint64{6: 10}, nil},
	} {
		for _, indexed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, indexed %v", c.name, indexed), func(t *testing.T) {
				t.Parallel()
				s := jobstest.NewArchiveStore(t)
				jobstest.Record(t, s.Store, 1, 12, func(v *verdict.Verdict) bool {
					if to, other := c.begin[v.Epoch]; other {
						v.PreviousDigest = jobstest.DigestOf("", to)
					}
					for _, epoch := range c.rejected {
						if v.Epoch == epoch {
							jobstest.Reject(v)
						}
					}
					for _, epoch := range c.missing {
						if v.Epoch == epoch {
							return false
						}
					}
					return true
				})
				if indexed {
					jobstest.Must(t, verdictcheck.CompleteIndex(t.Context(), s.Store, jobstest.Namespace))
				}
				checker := verdictcheck.Checker{Namespace: jobstest.Namespace, Store: s.Store, Incidents: incident.Recorder{Store: s.Store, Log: zerolog.New(io.Discard)}}
				jobstest.Must(t, checker.Check(t.Context(), judged(t, s), new(epochset.Set)))
				if !indexed && len(c.missing) > 0 {
					return // behind a gap they are found later, when the index is whole
				}
				if diff := cmp.Diff(c.want, rollbacks(t, s)); diff != "" {
					t.Errorf("rollbacks differ (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func judged(t *testing.T, s *jobstest.ArchiveStore) []uint64 {
	t.Helper()
	epochs, err := s.Store.Epochs(t.Context(), jobstest.Namespace, 0)
	jobstest.Must(t, err)
	return epochs
}

// rollbacks returns what there is evidence on.
func rollbacks(t *testing.T, s *jobstest.ArchiveStore) map[uint64]uint64 {
	t.Helper()
	var all map[uint64]uint64
	for _, key := range jobstest.Keys(t, s.Bucket) {
		var to, at uint64
		if data, err := s.Bucket.ReadAll(t.Context(), key); err == nil && strings.Contains(key, "/evidence/") && strings.Contains(string(data), `"rollback"`) {
			_, rest, _ := strings.Cut(string(data), `"epochs":[{"epoch":`)
			_, err := fmt.Sscanf(rest, "%d,", &to)
			jobstest.Must(t, err)
			_, rest, _ = strings.Cut(rest, `{"epoch":`)
			_, err = fmt.Sscanf(rest, "%d,", &at)
			jobstest.Must(t, err)
			if all == nil {
				all = map[uint64]uint64{}
			}
			all[at] = to
		}
	}
	return all
}
