package report

import (
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

func TestStatus(t *testing.T) {
	t.Parallel()
	rejected := func(epoch uint64) RejectedEpoch {
		return RejectedEpoch{Epoch: epoch, Reason: "digest_mismatch", Detail: "detail of digest_mismatch"}
	}
	// Epochs on record: verified 5 to 7, 9, 11 to 12, 3001, 3002; rejected 8 and 13.
	for _, c := range []struct {
		name     string
		from, to uint64
		want     Status
	}{
		{"all that is known", 0, 0, Status{
			From: 5, To: 3002, Head: 7, VerifiedCount: 8, RejectedCount: 2, MissingCount: 1 + 2987,
			Verified: []epochset.Range{{From: 5, To: 7}, {From: 9, To: 9}, {From: 11, To: 12}, {From: 3001, To: 3002}}, Gaps: []epochset.Range{{From: 10, To: 10}, {From: 14, To: 3000}},
			Rejected: []RejectedEpoch{rejected(8), rejected(13)},
		}},
		{"all good", 5, 7, Status{From: 5, To: 7, Head: 7, VerifiedCount: 3, Verified: []epochset.Range{{From: 5, To: 7}}}},
		{"from before the first", 1, 6, Status{
			From: 1, To: 6, VerifiedCount: 2, MissingCount: 4, Verified: []epochset.Range{{From: 5, To: 6}}, Gaps: []epochset.Range{{From: 1, To: 4}}}},
		{"from before the first, up to the last", 4, 0, Status{
			From: 4, To: 3002, VerifiedCount: 8, RejectedCount: 2, MissingCount: 1 + 1 + 2987,
			Verified: []epochset.Range{{From: 5, To: 7}, {From: 9, To: 9}, {From: 11, To: 12}, {From: 3001, To: 3002}}, Gaps: []epochset.Range{{From: 4, To: 4}, {From: 10, To: 10}, {From: 14, To: 3000}},
			Rejected: []RejectedEpoch{rejected(8), rejected(13)},
		}},
		{"past the last", 3001, 5000, Status{
			From: 3001, To: 5000, Head: 3002, VerifiedCount: 2, MissingCount: 1998, Verified: []epochset.Range{{From: 3001, To: 3002}}, Gaps: []epochset.Range{{From: 3003, To: 5000}}}},
		{"a rejected one", 8, 8, Status{From: 8, To: 8, RejectedCount: 1, Rejected: []RejectedEpoch{rejected(8)}}},
		{"a rejected one first", 8, 9, Status{
			From: 8, To: 9, VerifiedCount: 1, RejectedCount: 1, Verified: []epochset.Range{{From: 9, To: 9}}, Rejected: []RejectedEpoch{rejected(8)}}},
		{"an unknown one", 4000, 4000, Status{From: 4000, To: 4000, MissingCount: 1, Gaps: []epochset.Range{{From: 4000, To: 4000}}}},
		{"nothing up to one", 0, 3, Status{From: 1, To: 3, MissingCount: 3, Gaps: []epochset.Range{{From: 1, To: 3}}}},
		{"nothing from one on", 4000, 0, Status{From: 4000}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			store := auditstore.New(jobstest.OpenMemory(t))
			for _, epoch := range []uint64{5, 6, 7, 9, 11, 12, 3001, 3002} {
				jobstest.PutVerdict(t, store, epoch, "")
			}
			for _, epoch := range []uint64{8, 13} {
				jobstest.PutVerdict(t, store, epoch, "digest_mismatch")
			}
			got, err := ReadStatus(t.Context(), store, jobstest.Namespace, verdict.Anchor{}, c.from, c.to)
			if err != nil {
				t.Fatal(err)
			}
			c.want.Namespace = jobstest.Namespace
			if c.want.Verified == nil {
				c.want.Verified = []epochset.Range{}
			}
			if c.want.Gaps == nil {
				c.want.Gaps = []epochset.Range{}
			}
			if c.want.Rejected == nil {
				c.want.Rejected = []RejectedEpoch{}
			}
			got.Stretches = nil // TestStretches has them
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("status differs (-want +got):\n%s", diff)
			}
			if good := c.want.RejectedCount+c.want.MissingCount == 0; got.Good() != good {
				t.Errorf("Good is %v", got.Good())
			}
		})
	}
}

func TestStatusOfNothing(t *testing.T) {
	t.Parallel()
	got, err := ReadStatus(t.Context(), auditstore.New(jobstest.OpenMemory(t)), jobstest.Namespace, verdict.Anchor{}, 0, 0)
	want := Status{Namespace: jobstest.Namespace, Verified: []epochset.Range{}, Gaps: []epochset.Range{}, Rejected: []RejectedEpoch{}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v, status differs (-want +got):\n%s", err, diff)
	}
	for _, c := range []struct{ from, to uint64 }{{5, 4}, {1, verdict.MaxEpoch + 1}, {1, math.MaxUint64}, {math.MaxUint64, 0}} {
		if got, err := ReadStatus(t.Context(), auditstore.New(jobstest.OpenMemory(t)), jobstest.Namespace, verdict.Anchor{}, c.from, c.to); err == nil {
			t.Errorf("from %d to %d: no error, %+v", c.from, c.to, got)
		}
	}
}

// Every step may be right by itself, and the steps still be those of several logs.
func TestStatusFindsBreaks(t *testing.T) {
	t.Parallel()
	digest := func(log string, epoch uint64) string { return fmt.Sprintf("%s%063x", log, epoch) }
	store := auditstore.New(jobstest.OpenMemory(t))
	// Log a up to 3, b from 4 to 6, which is rejected, a from 7 to 8; nothing is known of 9; b from
	// 10 on.
	logs := map[uint64]string{1: "a", 2: "a", 3: "a", 4: "b", 5: "b", 6: "b", 7: "a", 8: "a", 10: "b", 11: "b", 12: "c"}
	for epoch, log := range logs {
		v := verdict.Verdict{
			Schema: verdict.Schema, Namespace: jobstest.Namespace, Epoch: epoch, Outcome: verdict.Verified,
			PreviousDigest: digest(log, epoch-1), Digest: digest(log, epoch), Batch: verdict.Batch{SHA256: digest(log, epoch)},
		}
		if epoch == 6 {
			v.Outcome, v.Reason = verdict.Rejected, "malformed_proof"
		}
		if _, _, err := store.PutVerdict(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	got, err := ReadStatus(t.Context(), store, jobstest.Namespace, verdict.Anchor{}, 0, 0)
	want := []Break{
		{Epoch: 4, PreviousDigest: digest("b", 3), Expected: digest("a", 3)},
		{Epoch: 12, PreviousDigest: digest("c", 11), Expected: digest("b", 11)},
	}
	verified := []epochset.Range{{From: 1, To: 3}, {From: 4, To: 5}, {From: 7, To: 8}, {From: 10, To: 11}, {From: 12, To: 12}}
	if diff := cmp.Diff(want, got.Breaks); err != nil || diff != "" || got.Head != 3 || !cmp.Equal(got.Verified, verified) {
		t.Errorf("%v, %+v, breaks differ (-want +got):\n%s", err, got, diff)
	}
	for _, c := range []struct {
		from, to uint64
		good     bool
	}{{1, 3, true}, {3, 4, false}, {4, 5, true}, {11, 12, false}} {
		if got, err := ReadStatus(t.Context(), store, jobstest.Namespace, verdict.Anchor{}, c.from, c.to); err != nil || got.Good() != c.good {
			t.Errorf("%d to %d: %+v, %v", c.from, c.to, got, err)
		}
	}
}

// What is verified is worth nothing to whoever knows another digest before it.
func TestAnchor(t *testing.T) {
	t.Parallel()
	store := auditstore.New(jobstest.OpenMemory(t))
	digest := func(epoch uint64) string { return fmt.Sprintf("%064x", epoch) }
	for epoch := uint64(7); epoch <= 9; epoch++ {
		v := verdict.Verdict{
			Schema: verdict.Schema, Namespace: jobstest.Namespace, Epoch: epoch, Outcome: verdict.Verified,
			PreviousDigest: digest(epoch - 1), Digest: digest(epoch), Batch: verdict.Batch{SHA256: digest(epoch)},
		}
		if _, _, err := store.PutVerdict(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name     string
		anchor   verdict.Anchor
		from, to uint64
		head     uint64
		expected string // of the break at epoch 7
	}{
		{"no anchor", verdict.Anchor{}, 0, 0, 9, ""},
		{"the log's", verdict.Anchor{Epoch: 6, Digest: digest(6)}, 0, 0, 9, ""},
		{"another log's", verdict.Anchor{Epoch: 6, Digest: digest(1)}, 0, 0, 0, digest(1)},
		{"another log's, and a range", verdict.Anchor{Epoch: 6, Digest: digest(1)}, 7, 9, 0, digest(1)},
		{"another log's, of another epoch", verdict.Anchor{Epoch: 6, Digest: digest(1)}, 8, 9, 9, ""},
	} {
		s, err := ReadStatus(t.Context(), store, jobstest.Namespace, c.anchor, c.from, c.to)
		if err != nil || s.Head != c.head || s.Good() != (c.expected == "") {
			t.Errorf("%s: %+v, %v", c.name, s, err)
		}
		if c.expected != "" && !cmp.Equal(s.Breaks, []Break{{Epoch: 7, PreviousDigest: digest(6), Expected: c.expected, Anchored: true}}) {
			t.Errorf("%s: breaks are %+v", c.name, s.Breaks)
		}
		h, err := ReadHead(t.Context(), store, jobstest.Namespace, c.anchor, c.from)
		if err != nil || h.Head != c.head || (h.Digest == "") != (c.head == 0) {
			t.Errorf("%s: head is %+v, %v", c.name, h, err)
		}
		walk := NewHeadWalk(max(c.from, 7), c.anchor)
		if err := walk.Advance(t.Context(), store, verdict.History{Namespace: jobstest.Namespace}); err != nil || walk.Head() != c.head {
			t.Errorf("%s: the walk comes to %d, %v", c.name, walk.Head(), err)
		}
	}
}
