package documents

import (
	"container/list"
	"sync"
	"time"
)

// Cache keeps values for some time, and the most recently used ones of a number.
type Cache[T any] struct {
	mu    sync.Mutex
	limit int
	order *list.List // of *kept, the most recently used first
	of    map[string]*list.Element
}

type kept[T any] struct {
	key   string
	value T
	until time.Time
}

// NewCache keeps so many values.
func NewCache[T any](limit int) *Cache[T] {
	return &Cache[T]{limit: limit, order: list.New(), of: map[string]*list.Element{}}
}

// Get returns a value that is kept.
func (c *Cache[T]) Get(key string, now time.Time) (value T, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.of[key]
	if !ok {
		return value, false
	}
	k := e.Value.(*kept[T])
	if now.After(k.until) {
		c.order.Remove(e)
		delete(c.of, key)
		return value, false
	}
	c.order.MoveToFront(e)
	return k.value, true
}

// Put keeps a value until a time.
func (c *Cache[T]) Put(key string, value T, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.of[key]; ok {
		c.order.Remove(e)
	}
	c.of[key] = c.order.PushFront(&kept[T]{key, value, until})
	for c.order.Len() > c.limit {
		last := c.order.Back()
		delete(c.of, c.order.Remove(last).(*kept[T]).key)
	}
}
