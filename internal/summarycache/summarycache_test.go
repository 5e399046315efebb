package summarycache_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/summarycache"
)

// What many ask for is made once, whoever of them goes away.
func TestCache(t *testing.T) {
	t.Parallel()
	var c summarycache.Cache[int]
	begun, goOn := make(chan bool), make(chan bool)
	made := 0
	makeIt := func(ctx context.Context) (int, error) {
		made++
		begun <- true
		<-goOn
		return made, ctx.Err()
	}
	leaving, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	ask := func(ctx context.Context) {
		all.Go(func() {
			if n, err := c.Get(ctx, "log", time.Hour, time.Hour, makeIt); n != 1 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
		})
	}
	all.Go(func() {
		if _, err := c.Get(leaving, "log", time.Hour, time.Hour, makeIt); !errors.Is(err, context.Canceled) {
			t.Errorf("one who goes away: %v", err)
		}
	})
	<-begun
	for range 20 {
		ask(t.Context())
	}
	leave() // for whom it is made
	if _, err := c.Get(leaving, "log", time.Hour, time.Hour, makeIt); !errors.Is(err, context.Canceled) {
		t.Errorf("one who waits and goes away: %v", err)
	}
	close(goOn)
	all.Wait()
	go func() { <-begun }()
	if n, err := c.Get(t.Context(), "other", time.Hour, time.Hour, makeIt); n != 2 || err != nil {
		t.Errorf("of another log: %d, %v", n, err)
	}
}

// What is too old is made anew, and what failed is not tried again by each who asks.
func TestCacheAge(t *testing.T) {
	t.Parallel()
	var c summarycache.Cache[int]
	made := 0
	makeIt := func(context.Context) (int, error) {
		if made++; made == 2 {
			return 0, errors.New("a fault")
		}
		return made, nil
	}
	for _, step := range []struct {
		age  time.Duration
		want int
		ok   bool
	}{{time.Hour, 1, true}, {time.Hour, 1, true}, {-1, 0, false}, {time.Hour, 0, false}, {-1, 3, true}} {
		if n, err := c.Get(t.Context(), "log", step.age, time.Hour, makeIt); n != step.want || (err == nil) != step.ok {
			t.Errorf("%+v: %d, %v", step, n, err)
		}
	}
}

// A defect ends what is made, for all who wait for it, and not the process.
func TestCachePanic(t *testing.T) {
	t.Parallel()
	var c summarycache.Cache[int]
	if _, err := c.Get(t.Context(), "log", 0, time.Hour, func(context.Context) (int, error) { panic("a defect") }); err == nil {
		t.Error("no error")
	}
}
