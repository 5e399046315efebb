package metrics

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// freshFor is how long an answer is good, however many ask for it.
	freshFor = 5 * time.Second
	// answerWithin is how long a question may take. Prometheus itself waits 10 s for the whole page.
	answerWithin = 3 * time.Second
)

var errNoAnswer = errors.New("no answer in time")

// cached asks something that may be slow, or may never answer, on behalf of anybody who would like to know. At most one
// question is open at a time, and nobody waits for it for longer than the timeout: not for one that ignores its context
// either, as a read from a dead network file system does.
type cached[T any] struct {
	ask            func(context.Context) (T, error)
	fresh, timeout time.Duration

	mu       sync.Mutex
	value    T
	err      error
	answered time.Time     // when value and err came
	asked    time.Time     // when the open question was put
	open     chan struct{} // closed when it is answered; nil if there is none
}

func newCached[T any](ask func(context.Context) (T, error)) *cached[T] {
	return &cached[T]{ask: ask, fresh: freshFor, timeout: answerWithin}
}

// get returns the last answer, or a new one if that is too old.
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

// put puts the question. Its context is not the one of whoever asked first, since others wait for the answer too.
func (c *cached[T]) put(open chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	value, err := c.answer(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.value, c.err, c.answered, c.open = value, err, time.Now(), nil
	close(open)
}

// answer makes an error of a panic, which would end the process from this goroutine.
func (c *cached[T]) answer(ctx context.Context) (value T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return c.ask(ctx)
}
