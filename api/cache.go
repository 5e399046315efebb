package api

import (
	"context"
	"sync"
	"time"
)

// cache keeps what many requests ask for and what takes many reads, for a short time. Its keys are
// of namespaces, of which there are few. Its zero value is empty.
type cache[T any] struct {
	mu sync.Mutex
	of map[string]*cached[T]
}

type cached[T any] struct {
	turn chan struct{} // one makes it, the others wait
	made time.Time
	v    T
	err  error
}

// get returns what is not older than age, or what is made anew. What failed is not tried again for
// as long.
func (c *cache[T]) get(ctx context.Context, key string, age, timeout time.Duration, make func(ctx context.Context) (T, error)) (T, error) {
	one := c.entry(key)
	select {
	case one.turn <- struct{}{}:
		defer func() { <-one.turn }()
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
	if time.Since(one.made) > age {
		// A client that goes away must not fail the others.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
		defer cancel()
		one.v, one.err = make(ctx)
		one.made = time.Now()
	}
	return one.v, one.err
}

func (c *cache[T]) entry(key string) *cached[T] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[string]*cached[T]{}
	}
	if c.of[key] == nil {
		c.of[key] = &cached[T]{turn: make(chan struct{}, 1)}
	}
	return c.of[key]
}
