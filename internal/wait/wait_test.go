package wait_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ktaudit/ktaudit/internal/wait"
)

func TestFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		d, deadline  time.Duration
		want         error
		wantsElapsed time.Duration
	}{
		{"the time passes", time.Second, time.Minute, nil, time.Second},
		{"the context ends", time.Minute, time.Second, context.DeadlineExceeded, time.Second},
		{"no time", 0, time.Second, nil, 0},
		{"negative time", -time.Second, time.Second, nil, 0},
		{"no time and the context is over", 0, 0, context.DeadlineExceeded, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), c.deadline)
			defer cancel()
			start := time.Now()
			if err := wait.For(ctx, c.d); err != c.want || time.Since(start) != c.wantsElapsed {
				t.Errorf("%s: %v after %s, want %v after %s", c.name, err, time.Since(start), c.want, c.wantsElapsed)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "-7": 0, "1.5": 0, "soon": 0, "99999999999999999999": 0,
		"86400": time.Hour, "9223372036854775807": time.Hour,
		"Sun, 22 Nov 2026 09:01:00 GMT": time.Minute, "Sun, 22 Nov 2026 08:00:00 GMT": 0, "2026-11-22T09:01:00Z": 0,
		"Fri, 31 Dec 9999 23:59:59 GMT": time.Hour,
	} {
		if got := wait.RetryAfter(value, now, time.Hour); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}

// The last report comes after the end of the work, and is the last.
func TestReport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var at []time.Duration
		stop := wait.Report(time.Second, func() { at = append(at, time.Since(began)) })
		time.Sleep(2500 * time.Millisecond)
		stop()
		time.Sleep(time.Hour)
		if want := []time.Duration{time.Second, 2 * time.Second, 2500 * time.Millisecond}; !slices.Equal(at, want) {
			t.Errorf("reported after %s, want %s", at, want)
		}
	})
}
