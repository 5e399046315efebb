package witnessing

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/jobstest"
)

func TestVerdictsAreAppendedWitnessedAndMirrored(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	l := w.loop(t)
	jobstest.Must(t, w.round(t, l, 0)) // nothing has a verdict yet
	w.judge(t, 17, 40)
	jobstest.Must(t, w.round(t, l, minute))
	if first, err := w.config.Verdicts.First(t.Context()); first != 17 || err != nil {
		t.Errorf("it begins with epoch %d, %v", first, err)
	}
	c := w.mirror(t)
	if c.N != 24 || c.Verify(w.config.Verdicts.Witnessed) != nil {
		t.Errorf("the mirror has %d entries, %v", c.N, c.Verify(w.config.Verdicts.Witnessed))
	}
	if s := w.metrics.state; s.Entries != 24 || s.Witnessed != 24 || s.AppendedAt.IsZero() {
		t.Errorf("the metrics are %+v", s)
	}
	asked := w.witnesses[0].questions()
	jobstest.Must(t, w.round(t, l, 2*minute))
	if w.witnesses[0].questions() != asked {
		t.Error("a witness is asked again about what it has cosigned")
	}
	jobstest.Must(t, w.round(t, w.loop(t), 3*minute))
	if w.witnesses[0].questions() == asked {
		t.Error("a new process does not ask what witnesses know")
	}
	w.wantOpen(t)
}

func TestWithoutWitnessesTheNewestIsMirrored(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	w.judge(t, 1, 5)
	l := w.loop(t)
	jobstest.Must(t, w.round(t, l, 0))
	jobstest.Must(t, w.round(t, l, 5*time.Hour))
	if c := w.mirror(t); c.N != 5 {
		t.Errorf("the mirror has %d entries", c.N)
	}
	w.wantOpen(t)
}

func TestBeginsWhereHistoryDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	w.config.From = 3
	w.judge(t, 17, 18)
	jobstest.Must(t, w.round(t, w.loop(t), 0))
	if first, err := w.config.Verdicts.First(t.Context()); first != 3 || err != nil {
		t.Errorf("it begins with epoch %d, %v", first, err)
	}
	w.judge(t, 3, 16)
	jobstest.Must(t, w.round(t, w.loop(t), 0))
	if c := w.mirror(t); c.N != 16 {
		t.Errorf("the mirror has %d entries", c.N)
	}
}

// What no witness cosigns is not mirrored, is told of after an hour, and no longer once enough have.
func TestNotWitnessed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	down := func(string) (int, string) { return http.StatusBadGateway, "down" }
	w.witnesses[0].set(down)
	w.judge(t, 1, 5)
	l := w.loop(t)
	jobstest.Must(t, w.round(t, l, 0)) // two of three do
	w.witnesses[1].set(func(string) (int, string) { return http.StatusNotFound, "who?" })
	w.judge(t, 6, 9)
	for _, after := range []time.Duration{minute, 59 * minute} {
		jobstest.Must(t, w.round(t, l, after))
		w.wantOpen(t)
	}
	if c := w.mirror(t); c.N != 5 {
		t.Errorf("the mirror has %d entries", c.N)
	}
	jobstest.Must(t, w.round(t, l, 60*minute))
	jobstest.Must(t, w.round(t, l, 61*minute))
	jobstest.Must(t, w.round(t, l, 62*minute))
	w.wantOpen(t, "not_witnessed/verdicts")
	lasting, err := l.Incidents.Outbox().Unresolved(t.Context(), namespace, nil)
	jobstest.Must(t, err)
	for _, said := range []string{"2 of 3 must have cosigned", "answers 502: down", "does not know this log (404)", "witness witness-2.example has cosigned"} {
		if !strings.Contains(lasting[0].Detail, said) {
			t.Errorf("the detail does not say %q:\n%s", said, lasting[0].Detail)
		}
	}
	if w.metrics.answers["failed"] == 0 || w.metrics.answers["refused"] == 0 || w.metrics.answers["cosigned"] == 0 || w.metrics.answers["disagrees"] != 0 {
		t.Errorf("the answers are counted as %v", w.metrics.answers)
	}
	w.witnesses[1].set(nil)
	jobstest.Must(t, w.round(t, l, 63*minute))
	w.wantOpen(t)
	if c := w.mirror(t); c.N != 9 {
		t.Errorf("the mirror has %d entries", c.N)
	}
}

func TestForkIsAnIncident(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.judge(t, 1, 5)
	jobstest.Must(t, w.round(t, w.loop(t), 0))
	key := namespace + "/tlog/verdicts/tile/0/000.p/5"
	data, err := w.Bucket.ReadAll(t.Context(), key)
	jobstest.Must(t, err)
	data[7] ^= 1
	jobstest.Must(t, w.Bucket.WriteAll(t.Context(), key, data, nil))
	w.judge(t, 6, 6)
	for range 3 {
		if err := w.round(t, w.loop(t), minute); !errors.Is(err, ErrChanged) {
			t.Errorf("the error is %v", err)
		}
	}
	w.wantOpen(t, "verdict_log_changed/verdicts")
	var c Changed
	w.evidence(t, 5, "verdict-log-changed", &c)
	if c.Log != "verdicts" || c.Size != 5 || len(c.Found) != 1 || !strings.Contains(c.Newest, base) || !strings.Contains(c.Witnessed, "witness-0.example") {
		t.Errorf("the evidence is %+v", c)
	}
}

// A witness's word that it knows another history is an incident; what it answers in a fault is none.
func TestWitnessDisagrees(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		answer func(string) (int, string)
		rounds int // until it is told of
		knows  string
		size   int64
	}{
		{"another root", func(string) (int, string) { return http.StatusConflict, "5\n" }, 1, OtherHistory, 5},
		{"no proof convinces it", func(string) (int, string) { return http.StatusUnprocessableEntity, "" }, 1, OtherHistory, 3},
		{"a larger tree", func(string) (int, string) { return http.StatusConflict, "6\n" }, 2, LargerTree, 6},
		{"a page", func(string) (int, string) { return http.StatusConflict, "<html>" }, 0, "", 0},
		{"an error", func(string) (int, string) { return http.StatusInternalServerError, "6\n" }, 0, "", 0},
		{"nothing", func(string) (int, string) { return http.StatusOK, "" }, 0, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 2)
			w.judge(t, 1, 3)
			l := w.loop(t)
			jobstest.Must(t, w.round(t, l, 0))
			w.judge(t, 4, 5)
			w.witnesses[0].set(func(origin string) (int, string) {
				if strings.HasSuffix(origin, "/events") {
					return 0, ""
				}
				return c.answer(origin)
			})
			for i := range 4 {
				if i < c.rounds || c.rounds == 0 {
					w.wantOpen(t)
				}
				// The other witness suffices, so that the first is asked again after an hour.
				_ = w.round(t, l, time.Duration(i+1)*2*time.Hour)
			}
			if c.rounds == 0 {
				w.wantOpen(t)
				return
			}
			w.wantOpen(t, "witness_disagrees/verdicts")
			var d Disagreement
			w.evidence(t, 5, "witness-disagrees", &d)
			if d.Knows != c.knows || d.Size != c.size || d.Witness != "witness-0.example" || !strings.Contains(d.Checkpoint, base) || (len(d.Proof) > 0) != (c.size == 3) {
				t.Errorf("the evidence is %+v", d)
			}
			if w.mirror(t).N != 5 {
				t.Error("the other witness is not enough")
			}
		})
	}
}

func TestNeverPublished(t *testing.T) {
	t.Parallel()
	const after = 24 * time.Hour
	listed := func(epochs ...uint64) func(context.Context, uint64) (bool, error) {
		return func(_ context.Context, epoch uint64) (bool, error) { return slices.Contains(epochs, epoch), nil }
	}
	for _, c := range []struct {
		name        string
		after       time.Duration
		isPublished func(context.Context, uint64) (bool, error)
		entries     int64
	}{
		{"it is not there for long enough", after + minute, listed(1, 2, 5), 5},
		{"not for long enough", after - minute, listed(1, 2, 5), 2},
		{"it is there, and waits", after + minute, listed(1, 2, 3, 4, 5), 2},
		{"the second is there, and waits", after + minute, listed(1, 2, 4, 5), 3},
		{"the log is not there at all", after + minute, listed(), 2},
		{"a fault", after + minute, func(_ context.Context, epoch uint64) (bool, error) { return epoch == 5, fault(epoch != 5) }, 2},
		{"nobody can tell", after + minute, nil, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 0)
			w.config.NotPublishedAfter, w.config.IsPublished = after, c.isPublished
			w.judge(t, 1, 2)
			w.judge(t, 5, 5)
			l := w.loop(t)
			l.good = began.Add(c.after)
			_ = w.round(t, l, c.after)
			if got := w.mirror(t).N; got != c.entries {
				t.Errorf("%d entries, want %d", got, c.entries)
			}
			w.wantOpen(t)
		})
	}
	t.Run("the end", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, 0)
		w.config.NotPublishedAfter, w.config.IsPublished = after, listed()
		w.judge(t, 1, 2)
		jobstest.Must(t, w.round(t, w.loop(t), 1000*after))
		if got := w.mirror(t).N; got != 2 {
			t.Errorf("%d entries, though no later epoch has a verdict", got)
		}
	})
}

func fault(is bool) error {
	if is {
		return errors.New("503")
	}
	return nil
}

func TestStalled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	w.judge(t, 1, 2)
	l := w.loop(t)
	l.Config.NotPublishedAfter, l.Config.IsPublished = minute, func(context.Context, uint64) (bool, error) { return false, fault(true) }
	w.judge(t, 5, 5)
	for _, after := range []time.Duration{2 * minute, 59 * minute} {
		if err := w.round(t, l, after); err == nil {
			t.Error("no error")
		}
	}
	w.wantOpen(t)
	_ = w.round(t, l, 62*minute)
	w.wantOpen(t, "verdict_log_stalled/log")
	l.Config.IsPublished = nil
	jobstest.Must(t, w.round(t, l, 63*minute))
	w.wantOpen(t)
}

// A loop goes on without a pause while there is more, and ends with its context.
func TestRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.config.Every = time.Hour
	w.judge(t, 1, 300)
	ctx, cancel := context.WithCancel(t.Context())
	l := w.loop(t)
	done := make(chan struct{})
	l.Config.Progress = func(_ uint64, entries int64) {
		if entries == 300 {
			cancel()
		}
	}
	go func() { l.Run(ctx); close(done) }()
	<-done
	if c, err := w.config.Verdicts.Newest(context.Background()); err != nil || c.N != 300 {
		t.Errorf("%d entries, %v", c.N, err)
	}
}
