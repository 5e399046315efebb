package report

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/verdict"
)

func TestRollbacks(t *testing.T) {
	t.Parallel()
	digest := func(n uint64) string { return fmt.Sprintf("%016x%048x", n, 0) }
	for _, c := range []struct {
		name     string
		rejected []uint64
		// begin is with the digest of which epoch one begins, if not of the one before
		begin map[uint64]uint64
		want  []Rollback
	}{
		{"none", []uint64{7}, nil, nil},
		{"behind a rejected epoch", []uint64{7}, map[uint64]uint64{8: 3}, []Rollback{{Epoch: 8, To: 3, PreviousDigest: digest(3)}}},
		{"behind several", []uint64{5, 6, 7}, map[uint64]uint64{8: 3}, []Rollback{{Epoch: 8, To: 3, PreviousDigest: digest(3)}}},
		{"at a break", nil, map[uint64]uint64{8: 3}, []Rollback{{Epoch: 8, To: 3, PreviousDigest: digest(3)}}},
		{"the rejected epoch is taken back", []uint64{7}, map[uint64]uint64{8: 6}, nil},
		{"several rejected epochs are taken back", []uint64{5, 6, 7}, map[uint64]uint64{8: 4}, nil},
		{"to another log", []uint64{7}, map[uint64]uint64{8: 1000}, nil},
		{"twice", []uint64{4, 9}, map[uint64]uint64{5: 2, 10: 6}, []Rollback{{Epoch: 5, To: 2, PreviousDigest: digest(2)}, {Epoch: 10, To: 6, PreviousDigest: digest(6)}}},
		{"to the first", []uint64{11}, map[uint64]uint64{12: 1}, []Rollback{{Epoch: 12, To: 1, PreviousDigest: digest(1)}}},
	} {
		store := auditstore.New(jobstest.OpenMemory(t))
		for epoch := uint64(1); epoch <= 12; epoch++ {
			v := verdict.Verdict{
				Schema: verdict.Schema, Namespace: jobstest.Namespace, Epoch: epoch, Outcome: verdict.Verified,
				PreviousDigest: digest(epoch - 1), Digest: digest(epoch), Batch: verdict.Batch{SHA256: digest(epoch)},
			}
			if at, other := c.begin[epoch]; other {
				v.PreviousDigest = digest(at)
			}
			for _, rejected := range c.rejected {
				if epoch == rejected {
					v.Outcome, v.Reason = verdict.Rejected, verdict.MalformedProof
				}
			}
			if _, _, err := store.PutVerdict(t.Context(), v); err != nil {
				t.Fatal(err)
			}
		}
		s, err := ReadStatus(t.Context(), store, jobstest.Namespace, verdict.Anchor{}, 0, 0)
		if diff := cmp.Diff(c.want, s.Rollbacks); err != nil || diff != "" {
			t.Errorf("%s: %v, rollbacks differ (-want +got):\n%s", c.name, err, diff)
		}
	}
}
