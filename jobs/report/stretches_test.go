package report

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/verdict"
)

// TestStretches reads logs of twelve epochs of which some were rejected or have no verdict, and some
// begin with the digest of another epoch than the one before.
func TestStretches(t *testing.T) {
	t.Parallel()
	digest := func(n uint64) string { return fmt.Sprintf("%064x", n) }
	const elsewhere = 1000 // no epoch of the log
	for _, c := range []struct {
		name              string
		rejected, missing []uint64
		begin             map[uint64]uint64 // with the digest of which epoch one begins
		claim             map[uint64]uint64 // with that of which one ends
		want              []Stretch
	}{
		{"one", nil, nil, nil, nil, []Stretch{{From: 1, To: 12}}},
		{"behind a rejected epoch", []uint64{7}, nil, nil, nil, []Stretch{
			{From: 1, To: 6}, {From: 8, To: 12, Link: StretchRejected, PreviousDigest: digest(7)}}},
		{"behind a rejected epoch that claims something else", []uint64{6, 7}, nil, nil, map[uint64]uint64{7: elsewhere}, []Stretch{
			{From: 1, To: 5}, {From: 8, To: 12, Link: StretchRejected, PreviousDigest: digest(7), Island: true, Claimed: digest(elsewhere)}}},
		{"a rejected epoch is taken back", []uint64{7}, nil, map[uint64]uint64{8: 6}, nil, []Stretch{
			{From: 1, To: 6}, {From: 8, To: 12, Link: StretchLinked, PreviousDigest: digest(6)}}},
		{"a gap", nil, []uint64{7}, nil, nil, []Stretch{
			{From: 1, To: 6}, {From: 8, To: 12, Link: StretchGap, PreviousDigest: digest(7), Island: true}}},
		{"a gap that nothing is missing in", nil, []uint64{7}, map[uint64]uint64{8: 6}, nil, []Stretch{
			{From: 1, To: 6}, {From: 8, To: 12, Link: StretchLinked, PreviousDigest: digest(6)}}},
		{"a gap and a rejected epoch", []uint64{8}, []uint64{7}, nil, nil, []Stretch{
			{From: 1, To: 6}, {From: 9, To: 12, Link: StretchGap, PreviousDigest: digest(8), Island: true}}},
		{"a rollback behind a gap", nil, []uint64{7}, map[uint64]uint64{8: 3}, nil, []Stretch{
			{From: 1, To: 6}, {From: 8, To: 12, Link: StretchRollback, BackTo: 3, PreviousDigest: digest(3)}}},
		{"a rollback behind a rejected epoch", []uint64{7}, nil, map[uint64]uint64{8: 1}, nil, []Stretch{
			{From: 1, To: 6}, {From: 8, To: 12, Link: StretchRollback, BackTo: 1, PreviousDigest: digest(1)}}},
		{"a rollback at a break", nil, nil, map[uint64]uint64{8: 3}, nil, []Stretch{
			{From: 1, To: 7}, {From: 8, To: 12, Link: StretchRollback, BackTo: 3, PreviousDigest: digest(3)}}},
		{"a break to nowhere", nil, nil, map[uint64]uint64{8: elsewhere}, nil, []Stretch{
			{From: 1, To: 7}, {From: 8, To: 12, Link: StretchBroken, PreviousDigest: digest(elsewhere), Island: true}}},
		{"twice to the same epoch", nil, []uint64{5, 9}, map[uint64]uint64{6: 2, 10: 2}, nil, []Stretch{
			{From: 1, To: 4}, {From: 6, To: 8, Link: StretchRollback, BackTo: 2, PreviousDigest: digest(2)},
			{From: 10, To: 12, Link: StretchRollback, BackTo: 2, PreviousDigest: digest(2)}}},
		{"islands of one and of three epochs", nil, []uint64{4, 6}, map[uint64]uint64{5: elsewhere}, nil, []Stretch{
			{From: 1, To: 3}, {From: 5, To: 5, Link: StretchGap, PreviousDigest: digest(elsewhere), Island: true},
			{From: 7, To: 12, Link: StretchGap, PreviousDigest: digest(6), Island: true}}},
		{"two islands that continue each other", nil, []uint64{4, 8}, map[uint64]uint64{5: elsewhere, 9: 7}, nil, []Stretch{
			{From: 1, To: 3}, {From: 5, To: 7, Link: StretchGap, PreviousDigest: digest(elsewhere), Island: true},
			{From: 9, To: 12, Link: StretchLinked, PreviousDigest: digest(7)}}},
		{"from an island back to the log", nil, []uint64{4, 8}, map[uint64]uint64{5: elsewhere, 9: 3}, nil, []Stretch{
			{From: 1, To: 3}, {From: 5, To: 7, Link: StretchGap, PreviousDigest: digest(elsewhere), Island: true},
			{From: 9, To: 12, Link: StretchRollback, BackTo: 3, PreviousDigest: digest(3)}}},
	} {
		store := auditstore.New(jobstest.OpenMemory(t))
		for epoch := uint64(1); epoch <= 12; epoch++ {
			v := verdict.Verdict{
				Schema: verdict.Schema, Namespace: jobstest.Namespace, Epoch: epoch, Outcome: verdict.Verified,
				PreviousDigest: digest(epoch - 1), Digest: digest(epoch), Batch: verdict.Batch{SHA256: digest(epoch)},
			}
			if other, ok := c.begin[epoch]; ok {
				v.PreviousDigest = digest(other)
			}
			if other, ok := c.claim[epoch]; ok {
				v.Digest = digest(other)
			}
			if slices.Contains(c.rejected, epoch) {
				v.Outcome, v.Reason = verdict.Rejected, verdict.MalformedProof
			}
			if slices.Contains(c.missing, epoch) {
				continue
			}
			if _, _, err := store.PutVerdict(t.Context(), v); err != nil {
				t.Fatal(err)
			}
		}
		s, err := ReadStatus(t.Context(), store, jobstest.Namespace, verdict.Anchor{}, 0, 0)
		if diff := cmp.Diff(c.want, s.Stretches); err != nil || diff != "" {
			t.Errorf("%s: %v, stretches differ (-want +got):\n%s", c.name, err, diff)
		}
		if s.Good() != (len(c.want) == 1) {
			t.Errorf("%s: good is %v", c.name, s.Good())
		}
		if s.Head != c.want[0].To {
			t.Errorf("%s: head is %d, want %d", c.name, s.Head, c.want[0].To)
		}
	}
}

// Of very many stretches, those are listed that there is room for, and of the first of them it is
// said how they hang together.
func TestManyStretches(t *testing.T) {
	t.Parallel()
	store := auditstore.New(jobstest.OpenMemory(t))
	h := verdict.History{Namespace: jobstest.Namespace, Spans: []verdict.SealedSpan{{}}}
	span := &h.Spans[0]
	_, to := verdict.ShardRange(29)
	span.Span = verdict.Span{From: 1, To: to, PreviousDigest: jobstest.DigestOf("", 0), Digest: jobstest.DigestOf("", to)}
	for shard := range uint64(30) {
		span.Seals = append(span.Seals, jobstest.DigestOf("seal", shard))
	}
	for epoch := uint64(2); epoch < to; epoch += 2 {
		span.Rejected = append(span.Rejected, verdict.Rejection{Epoch: epoch, Reason: verdict.MalformedProof})
	}
	if _, err := store.PutHistory(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	s, err := ReadStatus(t.Context(), store, jobstest.Namespace, verdict.Anchor{}, 0, 0)
	if err != nil || len(s.Verified) != 15_000 || len(s.Stretches) != MaxListed {
		t.Errorf("%d ranges and %d stretches, %v", len(s.Verified), len(s.Stretches), err)
	}
	for i, stretch := range s.Stretches {
		if i > 0 && stretch.Link != StretchUnknown { // there are no verdicts to tell
			t.Fatalf("stretch %d is %+v", i, stretch)
		}
	}
}
