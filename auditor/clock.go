package auditor

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// clockChecked is how long a comparison of the two clocks is good for.
const clockChecked = time.Minute

// storeClock is this machine's clock, held against the store's once a minute.
type storeClock struct {
	own   func() time.Time
	store func(ctx context.Context) (time.Time, error)

	mu      sync.Mutex
	checked time.Time // by the own clock
}

// hasJumped reports whether somebody set the clock between two times that it said. Between these
// Sub goes by a clock that nobody sets, unless Round(0) takes its reading away.
func hasJumped(from, to time.Time) bool {
	return (to.Round(0).Sub(from.Round(0))-to.Sub(from)).Abs() > time.Second || to.Round(0).Before(from.Round(0))
}

// now is the own clock's time; ErrClock if it is more than MaxSkew from the store's.
func (c *storeClock) now(ctx context.Context) (time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.own()
	if c.checked.Add(clockChecked).After(now) && !hasJumped(c.checked, now) {
		return now, nil
	}
	store, err := c.store(ctx)
	if err != nil {
		return time.Time{}, fmt.Errorf("asking the audit store for the time: %w", err)
	}
	// The store's answer lies between before and now; its times may be whole seconds.
	before := now
	now = c.own()
	if hasJumped(before, now) {
		return time.Time{}, fmt.Errorf("%w: it was set a moment ago, from %s to %s",
			ErrClock, before.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	if before.Sub(store) > MaxSkew || store.Sub(now) > MaxSkew {
		return time.Time{}, fmt.Errorf("%w: it says %s, the audit store's says %s",
			ErrClock, now.UTC().Format(time.RFC3339), store.UTC().Format(time.RFC3339))
	}
	c.checked = now
	return now, nil
}
