package jobs

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
)

func TestNewVerdictsAreLookedAt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		judge func(t *testing.T, s *auditstore.Store)
		want  []string
	}{
		{"all good", func(t *testing.T, s *auditstore.Store) {}, nil},
		{"rejected by a worker that crashed before its alert", func(t *testing.T, s *auditstore.Store) {
			judge(t, s, 3, verdict.Rejected, "overlapping_labels", 2, 3)
		}, []string{"1-rejected.000000000003"}},
		{"equivocation", func(t *testing.T, s *auditstore.Store) {
			judge(t, s, 3, verdict.Rejected, verdict.Equivocation, 2, 30)
		}, []string{"1-equivocation.000000000003"}},
		{"a break", func(t *testing.T, s *auditstore.Store) {
			judge(t, s, 3, verdict.Verified, "", 20, 3)
		}, []string{"1-contradiction.000000000003.chain"}},
		{"out of order, on both sides", func(t *testing.T, s *auditstore.Store) {
			verify(t, s, 4, 2)
			judge(t, s, 3, verdict.Verified, "", 20, 30)
		}, []string{"1-contradiction.000000000003.chain", "1-contradiction.000000000004.chain"}},
		{"no telling beside a rejection", func(t *testing.T, s *auditstore.Store) {
			judge(t, s, 3, verdict.Rejected, "previous_digest_mismatch", 20, 30)
			verify(t, s, 4)
		}, []string{"1-rejected.000000000003"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := emptyWorld(t)
			publishNames(t, w.log, span(1, 4)...)
			verify(t, w.config.Store, 1)
			f := mustFollow(t, embedded(t), w.schedule())
			f.mustRound(t, time.Now())
			if c.name != "out of order, on both sides" {
				verify(t, w.config.Store, 2)
			}
			c.judge(t, w.config.Store)
			for range 2 {
				f.mustRound(t, time.Now())
			}
			wantNotices(t, w.config.Store, c.want...)
			mustFollow(t, embedded(t), w.schedule()).mustRound(t, time.Now()) // after a restart
			wantNotices(t, w.config.Store, c.want...)
		})
	}
}

// A verdict that cannot be read keeps none but itself from being looked at. It is read again in each round, and the others are not.
func TestNewVerdictsBesideOneThatCannotBeRead(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	publishNames(t, w.log, span(1, 9)...)
	verify(t, w.config.Store, span(1, 8)...)
	judge(t, w.config.Store, 9, verdict.Verified, "", 90, 9)
	edit(t, w.audit, fmt.Sprintf("%s/verdicts/000000000/%012d.json", testNamespace, 2), `}`, ``)
	recent := mustFollow(t, embedded(t), w.schedule())
	history := mustSchedule(t, embedded(t), w.schedule(), 10, 1)
	for name, round := range map[string]func() error{
		"recent":  func() error { return recent.round(t.Context(), time.Now()) },
		"history": func() error { return history.backfillRound(t.Context(), time.Now()) },
	} {
		for range 2 {
			if err := round(); !errors.Is(err, auditstore.ErrCorrupt) {
				t.Errorf("%s: error is %v, want one that tells of the verdict", name, err)
			}
		}
	}
	wantNotices(t, w.config.Store, "1-contradiction.000000000009.chain")
	for name, checked := range map[string]*epochSet{"recent": &recent.checked, "history": history.history[0].checked[0]} {
		if got := slices.Sorted(checked.all()); !slices.Equal(got, []uint64{1, 3, 4, 5, 6, 7, 8, 9}) {
			t.Errorf("%s: looked at are %d", name, got)
		}
	}
}

// The chain is held together across the border of two shards, also when the lower one is history.
func TestBreakBetweenShards(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	publishNames(t, w.log, span(998, 1001)...)
	s := w.schedule()
	s.First = 998
	verify(t, w.config.Store, 998, 999, 1001)
	judge(t, w.config.Store, 1000, verdict.Verified, "", 5, 1000)
	f := mustFollow(t, embedded(t), s)
	f.recent = 2
	f.mustRound(t, time.Now())
	mustFollow(t, embedded(t), s).mustRound(t, time.Now()) // another finds the same
	wantNotices(t, w.config.Store, "1-contradiction.000000001000.chain")

	pieces := w.evidence(t, 1000)
	if len(pieces) != 1 {
		t.Fatalf("evidence is %q, want one piece", pieces)
	}
	var got brokenChain
	if err := json.Unmarshal([]byte(pieces[0]), &got); err != nil {
		t.Fatal(err)
	}
	hex := func(n uint64) string { return fmt.Sprintf("%064x", n) }
	want := brokenChain{verdict.BrokenChain, [2]brokenVerdict{
		{999, hex(998), hex(999), "999/batch", hex(0)}, {1000, hex(5), hex(1000), "1000/batch", hex(0)},
	}}
	if got != want {
		t.Errorf("evidence is %+v, want %+v", got, want)
	}
}

// What the queue has given up, or lost in part, is put there again.
func TestFollowRevivesWhatTheQueueLost(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		w := emptyWorld(t)
		publishNames(t, w.log, span(1, 4)...)
		f := mustFollow(t, r, w.schedule())
		f.mustRound(t, time.Now())
		fresh := Queue(testNamespace, Fresh)
		if err := r.inspector().ArchiveTask(fresh, Task{testNamespace, 2}.ID()); err != nil {
			t.Fatal(err)
		}
		do(t, r, "LREM", queueKey(fresh, "pending"), 0, Task{testNamespace, 3}.ID()) // blocked for ever
		do(t, r, "HSET", queueKey(fresh, "t:"+Task{testNamespace, 3}.ID()), "pending_since", 1)
		f.mustRound(t, time.Now())
		counts, err := queueCounts(r, Fresh)
		if err != nil || counts.Pending != 4 {
			t.Errorf("the queue is %+v, %v", counts, err)
		}
	})
}
