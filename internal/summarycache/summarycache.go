// Package summarycache keeps for a short time what many ask for and what is costly to make, and has
// it made once for all who ask at the time.
package summarycache

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// Cache keeps a value for each key, of which there must be few. Its zero value is empty.
type Cache[T any] struct {
	mu sync.Mutex
	of map[string]*cached[T]
}

type cached[T any] struct {
	turn chan struct{} // one makes it, the others wait
	made time.Time
	v    T
	err  error
}

// Get returns what is not older than age, or what is made anew. What failed is not tried again for
// as long. Who does not wait until it is made leaves it to be made for the others.
func (c *Cache[T]) Get(ctx context.Context, key string, age, timeout time.Duration, produce func(ctx context.Context) (T, error)) (T, error) {
	one := c.entry(key)
	var none T
	select {
	case one.turn <- struct{}{}:
	case <-ctx.Done():
		return none, ctx.Err()
	}
	if time.Since(one.made) <= age {
		defer func() { <-one.turn }()
		return one.v, one.err
	}
	type result struct {
		v   T
		err error
	}
	made := make(chan result, 1)
	go func() {
		defer func() { <-one.turn }()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
		defer cancel()
		one.v, one.err = recovered(ctx, produce)
		one.made = time.Now()
		made <- result{one.v, one.err}
	}()
	select {
	case r := <-made:
		return r.v, r.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// recovered has a defect end what it is in, and not the process.
func recovered[T any](ctx context.Context, produce func(ctx context.Context) (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return produce(ctx)
}

func (c *Cache[T]) entry(key string) *cached[T] {
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
