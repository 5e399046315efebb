// Package wait sleeps, and lets work end, with regard to a context, reports on work now and then,
// and reads for how long a server asks to wait.
package wait

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"time"
)

// For waits that long, or returns the context's error as soon as it ends.
func For(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Outlive returns a context that ends a grace after ctx does, for work that should be finished
// rather than cut off. The caller calls the function when the work is done.
func Outlive(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(grace, cancel)
		context.AfterFunc(longer, func() { timer.Stop() })
	})
	return longer, func() { stop(); cancel() }
}

// Report calls report at an interval and, when the returned function is called, once more and
// never again.
func Report(interval time.Duration, report func()) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				report()
			case <-done:
				report()
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

// RetryAfter reads a Retry-After header, in seconds or as a date, and returns at most the longest
// wait. It is 0 for anything else.
func RetryAfter(value string, now time.Time, longest time.Duration) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 63); err == nil {
		return min(time.Duration(min(seconds, math.MaxInt32))*time.Second, longest)
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return max(0, min(date.Sub(now), longest))
}
