package schedule

import (
	"crypto/ed25519"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/worker"
	"github.com/ktaudit/ktaudit/signature"
)

// trustUntil has auditors trust the log's key up to an epoch only.
func (w *world) trustUntil(t *testing.T, epochs string) {
	t.Helper()
	keys, err := signature.ParseKeys([]string{hex.EncodeToString(jobstest.Key().Public().(ed25519.PublicKey)) + "@" + epochs})
	jobstest.Must(t, err)
	w.Config.Keys = keys
}

// waitForKeys has a worker try what is on the queue until these epochs are judged or wait for a
// key.
func (w *world) waitForKeys(t *testing.T, r *queue.Redis, judged, keyless []uint64) {
	t.Helper()
	stop := startWorker(t, r, w.Auditor(t), worker.Config{NotYetDelay: time.Millisecond})
	defer stop()
	q := jobQueue{Queue: r, namespace: jobstest.Namespace}
	jobstest.Eventually(t, "verdicts, and epochs that wait", func() bool {
		for _, epoch := range judged {
			if _, err := w.Config.Store.Verdict(t.Context(), jobstest.Namespace, epoch); err != nil {
				return false
			}
		}
		for _, epoch := range keyless {
			if q.lowestKeyless([]uint64{epoch}).epoch == 0 {
				return false
			}
		}
		return true
	})
}

func TestUnknownKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 6})
	w.trustUntil(t, "-3")
	r := queuetest.Miniredis(t)
	f, replica := mustFollow(t, r, w.schedule()), mustFollow(t, r, w.schedule())
	for _, one := range []*follower{f, replica} {
		one.progress.setHistoryResult(nil, time.Now())
	}
	now := time.Now()
	f.mustRound(t, now)
	w.waitForKeys(t, r, jobstest.Span(1, 3), jobstest.Span(4, 6))
	f.mustRound(t, now)
	jobstest.WantNotices(t, w.Config.Store)
	for range 3 {
		replica.mustRound(t, now)
		f.mustRound(t, now)
	}
	jobstest.WantNotices(t, w.Config.Store, "2-unknown_key.000000000004")
	a := f.notices["2-unknown_key.000000000004"]
	for _, want := range []string{"epoch 4", "key_id", "from_epoch: 4"} {
		if !strings.Contains(a.Summary+a.Detail, want) {
			t.Errorf("the alert lacks %q: %s\n%s", want, a.Summary, a.Detail)
		}
	}

	// One epoch of them is judged: the others still wait, under the same alert.
	w.trustUntil(t, "-4")
	w.waitForKeys(t, r, jobstest.Span(1, 4), jobstest.Span(5, 6))
	restarted := mustFollow(t, r, w.schedule())
	for range 3 {
		f.mustRound(t, now)
		restarted.mustRound(t, now)
	}
	jobstest.WantNotices(t, w.Config.Store, "2-unknown_key.000000000004")

	w.trustUntil(t, "1-")
	w.waitForKeys(t, r, jobstest.Span(1, 6), nil)
	for range 3 {
		f.mustRound(t, now)
		replica.mustRound(t, now)
	}
	jobstest.WantNotices(t, w.Config.Store, "2-unknown_key.000000000004", "3-unknown_key.000000000004")
}

// Epochs of history that wait for a key are told of together with recent ones.
func TestUnknownKeysInHistory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 6})
	w.trustUntil(t, "5-")
	r := queuetest.Miniredis(t)
	l := mustSchedule(t, r, w.schedule(), 6, 2)
	now := time.Now()
	l.follower.mustRound(t, now)
	l.mustBackfill(t, now)
	w.waitForKeys(t, r, jobstest.Span(5, 6), jobstest.Span(1, 4))
	for range 3 {
		l.mustBackfill(t, now)
		l.follower.mustRound(t, now)
	}
	jobstest.WantNotices(t, w.Config.Store, "2-unknown_key.000000000001")

	w.trustUntil(t, "1-")
	w.waitForKeys(t, r, jobstest.Span(1, 6), nil)
	restarted := l.newFollower()
	restarted.mustRound(t, now)
	l.mustBackfill(t, now)
	for range 2 {
		restarted.mustRound(t, now)
	}
	jobstest.WantNotices(t, w.Config.Store, "2-unknown_key.000000000001", "3-unknown_key.000000000001")
}

// What waits for a key longer than the audit may be behind is critical, once, whoever notices it,
// and is over when the epochs are judged.
func TestUnknownKeysForTooLong(t *testing.T) {
	t.Parallel()
	const warning, critical = "2-unknown_key.000000000004", "1-unknown_key_overdue.000000000004"
	for name, c := range map[string]struct {
		after  time.Duration
		epochs uint64
		later  time.Duration
		want   bool
	}{
		"not yet":         {after: time.Hour, later: 59 * time.Minute},
		"too long":        {after: time.Hour, later: 61 * time.Minute, want: true},
		"not too many":    {epochs: 3, later: 100 * time.Hour},
		"too many":        {epochs: 2, want: true},
		"without a bound": {later: 1000 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, simlog.Options{Epochs: 6})
			w.trustUntil(t, "-3")
			r := queuetest.Miniredis(t)
			config := w.schedule()
			config.KeyOverdueAfter, config.KeyOverdueEpochs = c.after, c.epochs
			f, replica := mustFollow(t, r, config), mustFollow(t, r, config)
			for _, one := range []*follower{f, replica} {
				one.progress.setHistoryResult(nil, time.Now())
			}
			now := time.Now()
			f.mustRound(t, now)
			w.waitForKeys(t, r, jobstest.Span(1, 3), jobstest.Span(4, 6))
			round := func(now time.Time) {
				for range 3 {
					f.mustRound(t, now)
					replica.mustRound(t, now)
				}
			}
			round(now)
			round(time.Now().Add(c.later)) // the alert was raised meanwhile
			want := []string{warning}
			if c.want {
				want = []string{critical, warning}
				a := f.notices[critical]
				for _, part := range []string{"since", "epoch 4", "key_id", "from_epoch: 4"} {
					if !strings.Contains(a.Summary+a.Detail, part) {
						t.Errorf("the alert lacks %q: %s\n%s", part, a.Summary, a.Detail)
					}
				}
			}
			jobstest.WantNotices(t, w.Config.Store, want...)

			w.trustUntil(t, "1-")
			w.waitForKeys(t, r, jobstest.Span(1, 6), nil)
			round(time.Now().Add(c.later))
			for _, name := range slices.Clone(want) {
				want = append(want, "3"+name[1:])
			}
			slices.Sort(want)
			jobstest.WantNotices(t, w.Config.Store, want...)
		})
	}
}
