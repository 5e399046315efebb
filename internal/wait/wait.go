// Package wait waits for a time to pass or a context to end, whichever comes first.
package wait

import (
	"context"
	"time"
)

// For returns nil once d has passed, and ctx.Err() as soon as ctx ends. It does not wait if d is 0
// or less.
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
