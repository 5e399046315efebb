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

// now is the own clock's time; ErrClock if it is more than MaxSkew from the store's.
func (c *storeClock) now(ctx context.Context) (time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.own()
	if age := now.Sub(c.checked); age >= 0 && age < clockChecked {
		return now, nil
	}
	store, err := c.store(ctx)
	if err != nil {
		return time.Time{}, fmt.Errorf("asking the audit store for the time: %w", err)
	}
	// The store's answer lies between before and now; its times may be whole seconds.
	before := now
	now = c.own()
	if before.Sub(store) > MaxSkew || store.Sub(now) > MaxSkew {
		return time.Time{}, fmt.Errorf("%w: it says %s, the audit store's says %s",
			ErrClock, now.UTC().Format(time.RFC3339), store.UTC().Format(time.RFC3339))
	}
	c.checked = now
	return now, nil
}
