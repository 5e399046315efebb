package metrics

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// freshFor is how long an answer may be reused.
	freshFor = 5 * time.Second
	// answerWithin bounds one call. Prometheus waits 10 s for the whole page.
	answerWithin = 3 * time.Second
)

var errNoAnswer = errors.New("no answer in time")

// cached shares the result of a call that may be slow, or never return, among all callers of get.
// At most one call runs at a time, and no caller waits longer than the timeout, even if the call
// ignores its context, as a read from a dead network file system does.
type cached[T any] struct {
	ask            func(context.Context) (T, error)
	fresh, timeout time.Duration

	mu       sync.Mutex
	value    T
	err      error
	answered time.Time     // when value and err were set
	asked    time.Time     // when the running call began
	open     chan struct{} // closed when the call returns; nil if none is running
}

func newCached[T any](ask func(context.Context) (T, error)) *cached[T] {
	return &cached[T]{ask: ask, fresh: freshFor, timeout: answerWithin}
}

// get returns the last result, or a new one if that is too old.
func (c *cached[T]) get(ctx context.Context) (T, error) {
	c.mu.Lock()
	if !c.answered.IsZero() && time.Since(c.answered) < c.fresh {
		defer c.mu.Unlock()
		return c.value, c.err
	}
	if c.open == nil {
		c.asked, c.open = time.Now(), make(chan struct{})
		go c.put(c.open)
	}
	open, left := c.open, c.timeout-time.Since(c.asked)
	c.mu.Unlock()

	var zero T
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-open:
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.value, c.err
	case <-timer.C:
		return zero, errNoAnswer
	case <-ctx.Done():
		return zero, ctx.Err()
	}
}

// put makes the call. It does not use the context of the first caller, since others wait for it,
// too.
func (c *cached[T]) put(open chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	value, err := c.answer(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.value, c.err, c.answered, c.open = value, err, time.Now(), nil
	close(open)
}

// answer turns a panic, which would end the process from this goroutine, into an error.
func (c *cached[T]) answer(ctx context.Context) (value T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return c.ask(ctx)
}
