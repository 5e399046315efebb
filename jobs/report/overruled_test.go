package report

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

func overrule(t *testing.T, store *auditstore.Store, number uint64, v verdict.Verdict) {
	t.Helper()
	jobstest.Must(t, store.PutOverruling(t.Context(), verdict.Overruling{
		Schema: verdict.Schema, Namespace: v.Namespace, Epoch: v.Epoch, Number: number, By: "ops", Reason: "a mistake", At: time.Unix(1_800_000_000, 0).UTC(),
		Overruled: verdict.Overruled{Outcome: verdict.Rejected, SHA256: strings.Repeat("0", 64)}, Verdict: v,
	}))
}

// sealedSpans is a history of what is on record, as if every shard were sealed.
func sealedSpans(t *testing.T, store *auditstore.Store, from, to uint64) verdict.Span {
	t.Helper()
	var all verdict.Span
	for epoch := from; epoch <= to; epoch++ {
		v, err := store.Verdict(t.Context(), jobstest.Namespace, epoch)
		jobstest.Must(t, err)
		one := verdict.Span{From: epoch, To: epoch}
		if v.Outcome == verdict.Verified {
			one.PreviousDigest, one.Digest = v.PreviousDigest, v.Digest
		} else {
			one.Rejected = []verdict.Rejection{{Epoch: epoch, Reason: v.Reason}}
		}
		if epoch == from {
			all = one
		} else {
			all = all.Join(one)
		}
	}
	return all
}

// What is overruled is read in the same way from verdicts and from what is sealed.
func TestOverruled(t *testing.T) {
	t.Parallel()
	verified := jobstest.GoodVerdict
	broken := verified(5)
	broken.Digest = jobstest.DigestAfter(500)
	for _, c := range []struct {
		name     string
		verdicts []verdict.Verdict
		head     uint64
		want     []epochset.Range
		rejected uint64
		breaks   int
	}{
		{"none", nil, 4, []epochset.Range{{From: 1, To: 4}, {From: 6, To: 7}, {From: 9, To: 12}}, 2, 0},
		{"a rejection", []verdict.Verdict{verified(5)}, 7, []epochset.Range{{From: 1, To: 7}, {From: 9, To: 12}}, 1, 0},
		{"all rejections", []verdict.Verdict{verified(5), verified(8)}, 12, []epochset.Range{{From: 1, To: 12}}, 0, 0},
		{"neighbours", []verdict.Verdict{verified(4), verified(5), verified(6)}, 7, []epochset.Range{{From: 1, To: 7}, {From: 9, To: 12}}, 1, 0},
		{"a verified one", []verdict.Verdict{jobstest.RejectedVerdict(2)}, 1,
			[]epochset.Range{{From: 1, To: 1}, {From: 3, To: 4}, {From: 6, To: 7}, {From: 9, To: 12}}, 3, 0},
		{"the first", []verdict.Verdict{jobstest.RejectedVerdict(1)}, 0, []epochset.Range{{From: 2, To: 4}, {From: 6, To: 7}, {From: 9, To: 12}}, 3, 0},
		{"the last", []verdict.Verdict{jobstest.RejectedVerdict(12)}, 4, []epochset.Range{{From: 1, To: 4}, {From: 6, To: 7}, {From: 9, To: 11}}, 3, 0},
		{"with another digest", []verdict.Verdict{broken}, 5, []epochset.Range{{From: 1, To: 5}, {From: 6, To: 7}, {From: 9, To: 12}}, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			store := auditstore.New(jobstest.OpenMemory(t))
			for epoch := uint64(1); epoch <= 12; epoch++ {
				reason := verdict.Reason("")
				if epoch == 5 || epoch == 8 {
					reason = "digest_mismatch"
				}
				jobstest.PutVerdict(t, store, epoch, reason)
			}
			sealed := sealedSpans(t, store, 1, 12)
			for _, v := range c.verdicts {
				overrule(t, store, 1, jobstest.RejectedVerdict(v.Epoch))
				overrule(t, store, 2, v)
			}
			s, err := ReadStatus(t.Context(), store, jobstest.Namespace, verdict.Anchor{}, 0, 0)
			jobstest.Must(t, err)
			overruled, err := ReadOverruled(t.Context(), store, jobstest.Namespace)
			jobstest.Must(t, err)
			ofSeals := statusReader{overruled: overruled, Status: Status{Namespace: jobstest.Namespace}}
			jobstest.Must(t, overruled.split(sealed, firstVerdicts(t.Context(), store, jobstest.Namespace), ofSeals.addSpan, ofSeals.addVerdict))
			jobstest.Must(t, ofSeals.readDetails(t.Context(), store))
			ofSeals.To, ofSeals.Head = s.To, s.Head
			for _, got := range []Status{s, ofSeals.Status} {
				if diff := cmp.Diff(c.want, got.Verified); diff != "" || got.RejectedCount != c.rejected || len(got.Breaks) != c.breaks ||
					got.OverruledCount != uint64(len(c.verdicts)) {
					t.Errorf("status is %+v\n%s", got, diff)
				}
			}
			if diff := cmp.Diff(s.Breaks, ofSeals.Breaks); diff != "" {
				t.Errorf("of seals other breaks (-verdicts +seals):\n%s", diff)
			}
			if s.Head != c.head {
				t.Errorf("head is %d, want %d", s.Head, c.head)
			}
			for _, h := range []verdict.History{{Namespace: jobstest.Namespace},
				{Namespace: jobstest.Namespace, Spans: []verdict.SealedSpan{{Span: sealed}}}} {
				walk := NewHeadWalk(1, verdict.Anchor{})
				for range 2 {
					jobstest.Must(t, walk.Advance(t.Context(), store, h))
				}
				if walk.Head() != c.head {
					t.Errorf("the walk ends at %d, want %d (%d spans)", walk.Head(), c.head, len(h.Spans))
				}
			}
		})
	}
}

// A walk that has ended goes on after an overruling.
func TestWalkGoesOnAfterOverruling(t *testing.T) {
	t.Parallel()
	store := auditstore.New(jobstest.OpenMemory(t))
	jobstest.Verify(t, store, 1, 2, 4, 5)
	jobstest.PutVerdict(t, store, 3, "digest_mismatch")
	walk, h := NewHeadWalk(1, verdict.Anchor{}), verdict.History{Namespace: jobstest.Namespace}
	want := func(head uint64) {
		t.Helper()
		jobstest.Must(t, walk.Advance(t.Context(), store, h))
		if walk.Head() != head {
			t.Errorf("the walk ends at %d, want %d", walk.Head(), head)
		}
	}
	want(2)
	overrule(t, store, 1, jobstest.GoodVerdict(3))
	want(5)
	overrule(t, store, 1, jobstest.RejectedVerdict(1))
	want(0)
}
