package schedule

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/frontier"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/worker"
)

func TestSilence(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	r := queuetest.Miniredis(t)
	s := w.schedule()
	s.SilentAfter = time.Hour
	jobstest.PublishNames(t, w.Log, jobstest.Span(1, 3)...)
	now := time.Now()
	mustFollow(t, r, s).mustRound(t, now.Add(59*time.Minute))
	jobstest.WantNotices(t, w.Config.Store)

	// Restarted each time, it tells by the log's own times.
	for range 3 {
		mustFollow(t, r, s).mustRound(t, now.Add(61*time.Minute))
	}
	jobstest.WantNotices(t, w.Config.Store, "2-silent.000000000003")

	jobstest.PublishNames(t, w.Log, 4)
	for range 2 {
		mustFollow(t, r, s).mustRound(t, now.Add(62*time.Minute))
	}
	if got := jobstest.Notices(t, w.Config.Store); !slices.Contains(got, "3-silent.000000000003") {
		t.Errorf("not resolved: %q", got)
	}
}

// A log that was not looked at to its end, so that only an old epoch of it is known, is not silent:
// not before that has been so for as long as a log may be.
func TestLogThatWasNotSeenIsNotSilent(t *testing.T) {
	t.Parallel()
	for name, judged := range map[string]uint64{"after a restart": 3, "while it catches up": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := emptyWorld(t)
			jobstest.Verify(t, w.Config.Store, judged)
			jobstest.PublishNames(t, w.Log, jobstest.Span(1, 4)...)
			source := watch(w.Log)
			s := w.schedule()
			s.SilentAfter, s.Fetcher = time.Hour, source.fetcher(t)
			source.hidden = "4/"
			f := mustFollow(t, queuetest.Miniredis(t), s)
			now := time.Now().Add(24 * time.Hour)
			for _, after := range []time.Duration{0, 59 * time.Minute} {
				if err := f.round(t.Context(), now.Add(after)); err == nil {
					t.Error("a round that saw nothing went well")
				}
			}
			jobstest.WantNotices(t, w.Config.Store)
			if state := f.state(); !state.NewestSince.IsZero() {
				t.Errorf("metrics are told that the log's newest epoch is of %v", state.NewestSince)
			}
			_ = f.round(t.Context(), now.Add(time.Hour))
			jobstest.WantNotices(t, w.Config.Store, "2-silent.000000000003")
		})
	}
}

// A log directory that is the wrong one, or a first epoch that is, must not go unnoticed.
func TestSilenceFromTheStart(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	r := queuetest.Miniredis(t)
	s := w.schedule()
	s.First, s.SilentAfter = 100, time.Hour
	m, series := jobstest.Measure(t)
	w.Config.Metrics = m
	s.Metrics = w.Config.Metrics
	now := time.Now()
	f := mustFollow(t, r, s)
	f.mustRound(t, now)
	f.mustRound(t, now.Add(59*time.Minute))
	jobstest.WantNotices(t, w.Config.Store)
	for range 2 {
		f.mustRound(t, now.Add(61*time.Minute))
	}
	jobstest.WantNotices(t, w.Config.Store, "2-silent.000000000099")
	shown := series()
	if shown["newest_published_timestamp_seconds"] == "" || shown["newest_published_epoch"] != "" {
		t.Errorf("metrics show %q: want since when there is nothing, and no newest epoch", shown)
	}

	// It ends when the first epoch is set right, too.
	jobstest.PublishNames(t, w.Log, jobstest.Span(1, 3)...)
	s.First = 1
	mustFollow(t, r, s).mustRound(t, now.Add(2*time.Minute))
	jobstest.WantNotices(t, w.Config.Store, "2-silent.000000000099", "3-silent.000000000099")
}

func TestSilenceFromTheStartEndsWithTheFirstEpoch(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	s := w.schedule()
	s.SilentAfter = time.Hour
	now := time.Now()
	f := mustFollow(t, queuetest.Miniredis(t), s)
	f.mustRound(t, now)
	for range 2 {
		f.mustRound(t, now.Add(61*time.Minute))
	}
	jobstest.WantNotices(t, w.Config.Store, "2-silent.000000000000")
	jobstest.PublishNames(t, w.Log, 1)
	f.mustRound(t, now.Add(time.Minute))
	jobstest.WantNotices(t, w.Config.Store, "2-silent.000000000000", "3-silent.000000000000")
}

func TestClosedLogIsNotSilent(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	s := w.schedule()
	s.SilentAfter, s.Last = time.Hour, 3
	jobstest.PublishNames(t, w.Log, jobstest.Span(1, 3)...)
	mustFollow(t, queuetest.Miniredis(t), s).mustRound(t, time.Now().Add(48*time.Hour))
	jobstest.WantNotices(t, w.Config.Store)
}

func TestSkippedEpochs(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	one, other := mustFollow(t, queuetest.Miniredis(t), w.schedule()), mustFollow(t, queuetest.Miniredis(t), w.schedule())
	jobstest.PublishNames(t, w.Log, 1, 2, 4, 5, 9)
	now := time.Now().Add(time.Minute) // an epoch each minute, as nothing else is known
	rounds := func(n int) {
		for range n {
			one.mustRound(t, now)
			other.mustRound(t, now)
			now = now.Add(time.Minute)
		}
	}
	rounds(skippedCadences + 1)
	jobstest.WantNotices(t, w.Config.Store) // they may be late
	rounds(3)
	jobstest.WantNotices(t, w.Config.Store, "1-skipped.000000000003", "1-skipped.000000000006")

	jobstest.PublishNames(t, w.Log, 3)
	one.mustRound(t, now.Add(time.Minute))
	jobstest.WantNotices(t, w.Config.Store, "1-skipped.000000000003", "1-skipped.000000000006", "3-skipped.000000000003")
}

// A longer gap than one round's looks, which becomes history, stays one incident.
func TestLongGapIsOneIncident(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	f := mustFollow(t, queuetest.Miniredis(t), w.schedule())
	f.progress.recent = 20
	jobstest.PublishNames(t, w.Log, jobstest.Span(1, 30)...)
	now := time.Now().Add(time.Hour)
	for head := uint64(36); head <= 60; head++ {
		jobstest.PublishNames(t, w.Log, head)
		f.mustRound(t, now)
		now = now.Add(time.Minute)
	}
	jobstest.WantNotices(t, w.Config.Store, "1-skipped.000000000031")
}

// Among many epochs that never come, one that does is found.
func TestManySkippedEpochs(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	jobstest.Verify(t, w.Config.Store, 100)
	jobstest.PublishNames(t, w.Log, frontier.MaxLocated+1, 100)
	l := mustSchedule(t, queuetest.Miniredis(t), w.schedule(), 100, 1)
	f := l.follower
	for epoch := range uint64(frontier.MaxLocated + 1) {
		if err := f.incidents.Raise(t.Context(), alert.OfSkipped(jobstest.Namespace, epoch+1, 100)); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		f.mustRound(t, time.Now())
	}
	if got, want := jobstest.Notices(t, w.Config.Store), fmt.Sprintf("3-skipped.%012d", frontier.MaxLocated+1); !slices.Contains(got, want) {
		t.Errorf("not resolved: %s", want)
	}
}

func TestBacklog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 3})
	r := queuetest.Miniredis(t)
	s := w.schedule()
	s.BacklogAge = time.Hour
	f := mustFollow(t, r, s)
	now := time.Now()
	f.mustRound(t, now)
	f.mustRound(t, now.Add(59*time.Minute))
	jobstest.WantNotices(t, w.Config.Store)
	for minutes := range 3 {
		f.mustRound(t, now.Add(time.Duration(61+minutes)*time.Minute))
	}
	jobstest.WantNotices(t, w.Config.Store, "2-backlog.000000000001")
	a := w.Auditor(t)
	audit := func(epoch uint64) {
		if _, err := a.Audit(t.Context(), epoch); err != nil {
			t.Fatal(err)
		}
	}
	audit(1)
	f.mustRound(t, now.Add(65*time.Minute))
	jobstest.WantNotices(t, w.Config.Store, "2-backlog.000000000001") // the others still wait
	audit(2)
	audit(3)
	f.mustRound(t, now.Add(66*time.Minute))
	jobstest.WantNotices(t, w.Config.Store, "2-backlog.000000000001", "3-backlog.000000000001")
}

// The alert stands until the epoch that it names has a verdict, also when the log has gone on so
// far that this one is history.
func TestBacklogThatBecomesHistory(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	jobstest.PublishNames(t, w.Log, jobstest.Span(1, 5)...)
	s := w.schedule()
	s.BacklogAge = time.Hour
	f := mustFollow(t, queuetest.Miniredis(t), s)
	now := time.Now()
	f.mustRound(t, now)
	jobstest.Verify(t, w.Config.Store, jobstest.Span(2, 5)...)
	f.mustRound(t, now.Add(time.Hour))
	jobstest.WantNotices(t, w.Config.Store, "2-backlog.000000000001")
	f.progress.recent = 2
	for range 2 {
		f.mustRound(t, now.Add(2*time.Hour))
	}
	jobstest.WantNotices(t, w.Config.Store, "2-backlog.000000000001")
	jobstest.Verify(t, w.Config.Store, 1)
	f.mustRound(t, now.Add(3*time.Hour))
	jobstest.WantNotices(t, w.Config.Store, "2-backlog.000000000001", "3-backlog.000000000001")
}

// An alert on an epoch that has no verdict for ever, as when it is never signed, keeps no backlog
// from being told of. One alert stands for a backlog although its first epochs become history.
func TestBacklogBesideOneOfHistory(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	jobstest.PublishNames(t, w.Log, jobstest.Span(1, 5)...)
	jobstest.Verify(t, w.Config.Store, jobstest.Span(2, 5)...)
	s := w.schedule()
	s.BacklogAge = time.Hour
	f := mustFollow(t, queuetest.Miniredis(t), s)
	f.progress.recent = 2
	jobstest.Must(t, f.incidents.Raise(t.Context(), alert.OfBacklog(jobstest.Namespace, 1, time.Now())))
	now := time.Now()
	for epoch := uint64(6); epoch <= 12; epoch++ {
		f.mustRound(t, now)
		f.mustRound(t, now.Add(59*time.Minute))
		if epoch == 6 {
			jobstest.WantNotices(t, w.Config.Store, "2-backlog.000000000001")
		}
		jobstest.PublishNames(t, w.Log, epoch)
		now = now.Add(time.Hour)
	}
	jobstest.WantNotices(t, w.Config.Store, "2-backlog.000000000001", "2-backlog.000000000006")
	jobstest.Verify(t, w.Config.Store, jobstest.Span(6, 12)...)
	f.mustRound(t, now)
	jobstest.WantNotices(t, w.Config.Store, "2-backlog.000000000001", "2-backlog.000000000006", "3-backlog.000000000006")
}

// failAll has a worker that cannot read the log try what is on the queue until the jobs of all
// these epochs have failed.
func (w *world) failAll(t *testing.T, r *queue.Redis, epochs ...uint64) {
	t.Helper()
	faults := &jobstest.FaultyReads{Seed: rand.New(rand.NewPCG(1, 1)), Share: 1}
	failing := w.Config
	failing.Fetcher = fetcher.New(faults.Over(t, w.Log), fetcher.Options{MaxAttempts: 1})
	a, err := audit.New(failing)
	jobstest.Must(t, err)
	stop := startWorker(t, r, a, worker.Config{MaxRetryDelay: time.Millisecond})
	defer stop()
	jobstest.Eventually(t, "failures of all", func() bool {
		return !slices.ContainsFunc(epochs, func(epoch uint64) bool {
			fault, _ := r.LastAttempt(jobstest.Namespace, epoch)
			return !fault
		})
	})
}

func TestEpochsThatKeepFailing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 3})
	r := queuetest.Miniredis(t)
	s := w.schedule()
	s.TransientAfter = time.Hour
	f := mustFollow(t, r, s)
	now := time.Now()
	f.mustRound(t, now)

	w.failAll(t, r, jobstest.Span(1, 3)...)
	f.mustRound(t, now.Add(59*time.Minute))
	jobstest.WantNotices(t, w.Config.Store)
	for minutes := range 3 {
		f.mustRound(t, now.Add(time.Duration(61+minutes)*time.Minute))
	}
	jobstest.WantNotices(t, w.Config.Store, "2-transient.000000000001")
	for epoch := range uint64(3) {
		if _, err := w.Auditor(t).Audit(t.Context(), epoch+1); err != nil {
			t.Fatal(err)
		}
	}
	f.mustRound(t, now.Add(65*time.Minute))
	jobstest.WantNotices(t, w.Config.Store, "2-transient.000000000001", "3-transient.000000000001")
}

func TestSourceThatFails(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	jobstest.PublishNames(t, w.Log, jobstest.Span(1, 3)...)
	source := watch(w.Log)
	s := w.schedule()
	s.TransientAfter = time.Hour
	s.Fetcher = source.fetcher(t)
	f := mustFollow(t, queuetest.Miniredis(t), s)
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	f.mustRound(t, now)
	source.down.Store(true)
	for _, after := range []time.Duration{time.Minute, time.Hour} {
		if err := f.round(t.Context(), now.Add(after)); err == nil || !strings.Contains(err.Error(), "the network is down") {
			t.Errorf("error is %v", err)
		}
	}
	jobstest.WantNotices(t, w.Config.Store)
	for range 2 {
		_ = f.round(t.Context(), now.Add(62*time.Minute))
	}
	const incident = "transient.000000000004.scheduler-20260701"
	jobstest.WantNotices(t, w.Config.Store, "2-"+incident)
	source.down.Store(false)
	f.mustRound(t, now.Add(63*time.Minute))
	jobstest.WantNotices(t, w.Config.Store, "2-"+incident, "3-"+incident)
}

// Trouble is one incident, though the log goes on meanwhile and schedulers don't know the same
// head.
func TestTroubleWhileTheLogGoesOn(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	jobstest.PublishNames(t, w.Log, jobstest.Span(1, 3)...)
	jobstest.Verify(t, w.Config.Store, 1)
	jobstest.Edit(t, w.Audit, fmt.Sprintf("%s/verdicts/000000000/%012d.json", jobstest.Namespace, 1), `}`, ``)
	s := w.schedule()
	s.TransientAfter = time.Hour
	one, other := mustFollow(t, queuetest.Miniredis(t), s), mustFollow(t, queuetest.Miniredis(t), s)
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for round := range uint64(5) {
		for _, f := range []*follower{one, other} {
			if err := f.round(t.Context(), now); !errors.Is(err, auditstore.ErrCorrupt) {
				t.Errorf("error is %v, want one that tells of the verdict", err)
			}
			jobstest.PublishNames(t, w.Log, 4+2*round, 5+2*round)
		}
		now = now.Add(30 * time.Minute)
	}
	jobstest.WantNotices(t, w.Config.Store, "2-transient.000000000004.scheduler-20260701")
}
