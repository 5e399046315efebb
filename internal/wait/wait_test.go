package wait_test

import (
	"context"
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
