package schedule

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/alert/targets"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/worker"
	"github.com/rs/zerolog"
)

// liveVariable makes TestLive last as long as it says, such as 10m, on a log that publishes every
// second.
const liveVariable = "KTAUDIT_TEST_LIVE"

// live is a log that publishes while two schedulers and four workers, each with a connection of its
// own, look after it.
type live struct {
	*world
	log   *simlog.Log
	every time.Duration

	head      atomic.Uint64
	published sync.Map // when an epoch was: uint64 to time.Time
	silent    chan struct{}
	silence   uint64 // after this epoch the log is silent, until silent is closed

	source *watchedLog // what schedulers and workers see
	mu     sync.Mutex
	alerts map[string]int // how often an alert was delivered, by status and incident
	toldAt map[string]time.Time
}

func newLive(t *testing.T, every time.Duration, history, silence uint64, tampers map[uint64]simlog.Kind) *live {
	t.Helper()
	l := &live{
		world: emptyWorld(t), every: every, silence: silence, silent: make(chan struct{}),
		alerts: map[string]int{}, toldAt: map[string]time.Time{},
	}
	l.source = watch(l.world.Log)
	l.Config.Fetcher = l.source.fetcher(t)
	var err error
	l.log, err = simlog.Open(t.Context(), l.world.Log, l.Signatures, simlog.Options{
		Namespace: jobstest.Namespace, SigningKey: jobstest.Key(), FirstLoad: 10, Insertions: 4, Epochs: 1 << 20, Tamper: tampers,
	})
	if err != nil {
		t.Fatal(err)
	}
	for range history {
		l.publish(t)
	}
	return l
}

func (l *live) publish(t *testing.T) {
	e, err := l.log.Next(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Error(err)
		return
	}
	l.published.Store(e.Name.Epoch, time.Now())
	l.head.Store(e.Name.Epoch)
}

// run publishes epochs until the test ends.
func (l *live) run(t *testing.T) {
	ended := make(chan struct{})
	t.Cleanup(func() { <-ended })
	go func() {
		defer close(ended)
		ticker := time.NewTicker(l.every)
		defer ticker.Stop()
		for {
			if l.head.Load() == l.silence {
				select {
				case <-l.silent:
				case <-t.Context().Done():
				}
			}
			select {
			case <-ticker.C:
				l.publish(t)
			case <-t.Context().Done():
				return
			}
		}
	}()
}

func (l *live) startWorker(t *testing.T, r *queue.Redis) {
	t.Helper()
	w, err := worker.New(r, []*audit.Auditor{l.Auditor(t)}, completeWorker(worker.Config{NotYetDelay: 100 * time.Millisecond}), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	jobstest.Background(t, w.Run)
}

// startScheduler starts a scheduler and a dispatcher of its alerts to a webhook.
func (l *live) startScheduler(t *testing.T, r *queue.Redis, s Config, recent uint64, webhook string) (stop func()) {
	t.Helper()
	scheduler, err := New(r, []Config{s}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	scheduler.logs[0].progress.recent = recent
	target, err := targets.New("webhook", targets.Settings{Name: "people", URL: webhook, Secret: []byte("0123456789abcdef")})
	if err != nil {
		t.Fatal(err)
	}
	dispatcher, err := alert.NewDispatcher(alert.Options{
		Store: s.Store, Namespaces: []string{jobstest.Namespace}, Targets: target, Every: 50 * time.Millisecond, Log: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	stopScheduler, stopDispatcher := jobstest.Background(t, scheduler.Run), jobstest.Background(t, dispatcher.Run)
	return func() { stopScheduler(); stopDispatcher() }
}

// people is a webhook that counts what it is told.
func (l *live) people(t *testing.T) string {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var a struct{ Incident, Status string }
		if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
			t.Error(err)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		what := a.Status + " " + jobstest.WithoutHash(a.Incident)
		if l.alerts[what]++; l.alerts[what] == 1 {
			l.toldAt[what] = time.Now()
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// told waits for an alert, and says how long after a moment it came.
func (l *live) told(t *testing.T, what string, since time.Time) time.Duration {
	t.Helper()
	var at time.Time
	jobstest.Eventually(t, what, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		at = l.toldAt[what]
		return !at.IsZero()
	})
	return at.Sub(since)
}

func (l *live) waitFor(t *testing.T, epoch uint64) time.Time {
	t.Helper()
	deadline := time.Now().Add(20*l.every*time.Duration(epoch) + time.Minute)
	for {
		if at, ok := l.published.Load(epoch); ok {
			return at.(time.Time)
		}
		if time.Now().After(deadline) {
			t.Fatalf("epoch %d never came", epoch)
		}
		_ = wait.For(t.Context(), 5*time.Millisecond)
	}
}

// Two schedulers and four workers look after a log for a while. All that is wrong with it is
// noticed and told once, in a long run within two periods; nothing else is told; every epoch is
// brought to an end once.
func TestLive(t *testing.T) {
	t.Parallel()
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		r := queuetest.Miniredis(t)
		testLive(t, func() *queue.Redis { return r })
	})
	t.Run("redis-server", func(t *testing.T) {
		t.Parallel()
		server := testservers.Redis(t)
		testLive(t, func() *queue.Redis { return queuetest.Connect(t, server.URL()) })
	})
}

func testLive(t *testing.T, connect func() *queue.Redis) {
	every, poll, silentAfter := 50*time.Millisecond, 500*time.Millisecond, 5*time.Second
	const history, recent = 160, 100
	missing, rewritten, equivocal, silence, end := uint64(180), uint64(195), uint64(210), uint64(220), uint64(260)
	text := os.Getenv(liveVariable)
	if text != "" {
		length, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		every, poll, silentAfter = time.Second, 5*time.Second, 30*time.Second
		steps := uint64((length - silentAfter - 2*poll) / every)
		missing, rewritten, equivocal = history+steps/5, history+2*steps/5, history+3*steps/5
		silence, end = history+4*steps/5, history+steps
	}
	l := newLive(t, every, history, silence, map[uint64]simlog.Kind{
		missing: simlog.Missing, rewritten: simlog.Rewrite, equivocal: simlog.Equivocate,
	})
	people := l.people(t)
	s := l.schedule()
	s.Poll, s.SilentAfter, s.TransientAfter, s.BacklogAge = poll, silentAfter, time.Minute, time.Minute
	s.Backfills = []BackfillPlan{{To: 30, Window: 10}}
	stop := l.startScheduler(t, connect(), s, recent, people)
	l.startScheduler(t, connect(), s, recent, people)
	for range 4 {
		l.startWorker(t, connect())
	}
	l.run(t)

	name := func(kind string, epoch uint64) string { return fmt.Sprintf("%s/%012d", kind, epoch) }
	want := map[string]int{}
	for _, c := range []struct {
		what  string
		epoch uint64        // it begins with
		after time.Duration // it is wrong
	}{
		{"firing " + name("skipped", missing), missing + 1, skippedAnswers * poll},
		{"firing " + name("rejected", rewritten), rewritten, 0},
		{"firing " + name("equivocation", equivocal), equivocal, 0},
		{"firing " + name("silent", silence), silence, silentAfter},
	} {
		want[c.what] = 1
		took := l.told(t, c.what, l.waitFor(t, c.epoch).Add(c.after))
		t.Logf("%s: told after %v", c.what, took.Round(time.Millisecond))
		// Noticing includes a worker's way to a verdict. A machine that is busy with other tests may
		// take any time.
		if text != "" && took > 2*poll+time.Second {
			t.Errorf("%s: told after %v, a period is %v", c.what, took, poll)
		}
	}
	stop() // one scheduler is replaced
	close(l.silent)
	l.startScheduler(t, connect(), s, recent, people)
	resolved := "resolved " + name("silent", silence)
	want[resolved] = 1
	l.told(t, resolved, time.Now())
	l.waitFor(t, end)

	jobstest.Eventually(t, "all verdicts", func() bool { return l.world.Judged(t, 1, end) == int(end)-1 })
	l.mu.Lock()
	defer l.mu.Unlock()
	if !maps.Equal(l.alerts, want) {
		t.Errorf("told were %v, want %v", l.alerts, want)
	}
	l.source.mu.Lock()
	defer l.source.mu.Unlock()
	for epoch := uint64(1); epoch <= end; epoch++ {
		want := 1
		switch epoch {
		case missing, equivocal:
			want = 0
		case rewritten: // a rejection is looked at twice
			want = 2
		}
		if n := l.source.reads[epoch]; n != want {
			t.Errorf("the batch of epoch %d was read %d times, want %d", epoch, n, want)
		}
	}
}

// A Redis that loses everything has it back within two periods, and nobody has to do anything.
func TestRedisLosesEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 200, FirstLoad: 5, Insertions: 2})
	server := testservers.Redis(t)
	connect := func() *queue.Redis { return queuetest.Connect(t, server.URL()) }
	s := w.schedule()
	s.Poll = 10 * time.Second // a busy machine may take seconds of the second period
	s.Backfills = []BackfillPlan{{To: 100, Window: 70}}
	r := connect()
	for range 2 {
		scheduler, err := New(connect(), []Config{s}, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		scheduler.logs[0].progress.recent = 50
		jobstest.Background(t, scheduler.Run)
	}
	full := func() bool {
		return slices.Equal(queued(t, r, queue.Fresh), jobstest.Span(151, 200)) &&
			slices.Equal(queued(t, r, queue.Backfill), slices.Concat(jobstest.Span(1, 70), jobstest.Span(101, 150)))
	}
	jobstest.Eventually(t, "a full queue", full)
	server.Kill()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	jobstest.Eventually(t, "a full queue again", full)
	took := time.Since(back)
	t.Logf("the queue was as before after %v, a period is %v", took.Round(time.Millisecond), s.Poll)
	if took > 2*s.Poll {
		t.Errorf("it took %v, a period is %v", took, s.Poll)
	}
	startWorker(t, r, w.Auditor(t), worker.Config{})
	jobstest.Eventually(t, "all verdicts", func() bool { return w.Judged(t, 1, 200) == 200 })
	jobstest.WantNotices(t, w.Config.Store)
}

// A log that cannot be reached, or never answers, doesn't keep another from being looked after.
func TestOneLogDoesNotHoldUpAnother(t *testing.T) {
	t.Parallel()
	good, bad := emptyWorld(t), emptyWorld(t)
	jobstest.PublishNames(t, good.Log, jobstest.Span(1, 5)...)
	stuck := watch(bad.Log)
	stuck.stuck = true
	failing := bad.schedule()
	failing.Namespace, failing.Fetcher = "stuck", stuck.fetcher(t)
	r := queuetest.Miniredis(t)
	s := good.schedule()
	s.Poll, failing.Poll = 50*time.Millisecond, 50*time.Millisecond
	scheduler, err := New(r, []Config{failing, s}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	jobstest.Background(t, scheduler.Run)
	jobstest.Eventually(t, "the other's epochs on the queue", func() bool { return stuck.requests.Load() > 0 && queuedOn(t, r, queue.Fresh) == 5 })
}
