package lag_test

import (
	"context"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/jobs/lag"
)

func TestRead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name              string
		first             uint64
		published, judged []uint64
		want              lag.Lag // but for the time
	}{
		{"an empty log", 1, nil, nil, lag.Lag{}},
		{"nothing judged", 1, jobstest.Span(1, 30), nil, lag.Lag{Published: 30, Epochs: 30}},
		{"nothing judged of a log that begins late", 11, jobstest.Span(11, 30), nil, lag.Lag{Published: 30, Epochs: 20}},
		{"twenty ahead", 1, jobstest.Span(1, 40), jobstest.Span(1, 20), lag.Lag{Published: 40, Epochs: 20}},
		{"the next one is missing", 1, append(jobstest.Span(1, 20), jobstest.Span(22, 40)...), jobstest.Span(1, 20), lag.Lag{Published: 20}},
		{"behind a gap", 1, append(jobstest.Span(1, 5), jobstest.Span(20, 50)...), append(jobstest.Span(1, 5), jobstest.Span(20, 30)...), lag.Lag{Published: 50, Epochs: 20}},
		{"all judged, with a gap", 1, append(jobstest.Span(1, 5), jobstest.Span(20, 30)...), append(jobstest.Span(1, 5), jobstest.Span(20, 30)...), lag.Lag{Published: 30}},
		{"all judged", 1, jobstest.Span(1, 40), jobstest.Span(1, 40), lag.Lag{Published: 40}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := jobstest.EmptyWorld(t)
			jobstest.PublishNames(t, w.Log, c.published...)
			jobstest.Verify(t, w.Store, c.judged...)
			config := lag.Config{Namespace: jobstest.Namespace, Log: w.Fetcher, Store: w.Store, First: c.first, Poll: 30 * time.Second}
			if n := len(c.judged); n > 0 {
				config.Judged = c.judged[n-1]
			}
			now := time.Now()
			got, err := lag.Read(t.Context(), config, now)
			if err != nil {
				t.Fatal(err)
			}
			if since := got.Since; since.IsZero() != (got.Epochs == 0) || since.After(now) {
				t.Errorf("behind by %d epochs since %s", got.Epochs, since)
			}
			got.Since = time.Time{}
			if got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

// A log that cannot be asked is an error, and no log without epochs.
func TestReadWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	w := jobstest.EmptyWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := lag.Read(ctx, lag.Config{Namespace: jobstest.Namespace, Log: w.Fetcher, Store: w.Store, First: 1, Poll: time.Second}, time.Now())
	if err == nil {
		t.Error("no error")
	}
}

func TestExceeds(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, c := range []struct {
		name   string
		lag    lag.Lag
		epochs uint64
		age    time.Duration
		want   bool
	}{
		{"not behind, whatever the times", lag.Lag{Published: 5, Since: now.Add(-time.Hour)}, 1, time.Second, false},
		{"as many as allowed", lag.Lag{Epochs: 20}, 20, 0, false},
		{"one more", lag.Lag{Epochs: 21}, 20, 0, true},
		{"for less than allowed", lag.Lag{Epochs: 21, Since: now.Add(-time.Minute)}, 0, 2 * time.Minute, false},
		{"for longer", lag.Lag{Epochs: 1, Since: now.Add(-3 * time.Minute)}, 0, 2 * time.Minute, true},
		{"for an unknown time", lag.Lag{Epochs: 1}, 0, time.Hour, true},
		{"without a bound", lag.Lag{Epochs: 100}, 0, 0, false},
	} {
		if got := c.lag.Exceeds(c.epochs, c.age, now); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
