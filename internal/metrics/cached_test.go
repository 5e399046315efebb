package metrics

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestCachedAsksOnceForMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		c := newCached(func(context.Context) (int64, error) {
			time.Sleep(time.Second)
			return asked.Add(1), nil
		})
		expect := func(want int64) {
			var all sync.WaitGroup
			for range 10 {
				all.Go(func() {
					if got, err := c.get(t.Context()); got != want || err != nil {
						t.Errorf("got %d, %v; want %d", got, err, want)
					}
				})
			}
			all.Wait()
		}
		expect(1)
		time.Sleep(freshFor / 2)
		expect(1)
		time.Sleep(freshFor)
		expect(2)
	})
}

// A question that is never answered costs whoever waits for it no more than the timeout, and there
// is never a second one.
func TestCachedWaitsNoLongerThanItMust(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		hang := make(chan struct{})
		c := newCached(func(context.Context) (int, error) { // deaf to its context
			asked.Add(1)
			<-hang
			return 1, nil
		})
		for i := range 3 {
			began := time.Now()
			_, err := c.get(t.Context())
			if !errors.Is(err, errNoAnswer) {
				t.Errorf("got %v, want %v", err, errNoAnswer)
			}
			if took := time.Since(began); i == 0 && took != answerWithin || i > 0 && took != 0 {
				t.Errorf("waited %v in round %d", took, i)
			}
		}
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
		close(hang)
		synctest.Wait()
		if got, err := c.get(t.Context()); got != 1 || err != nil {
			t.Errorf("after the answer came: %d, %v", got, err)
		}
	})
}

func TestCachedLetsGoOfWhoeverLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCached(func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.get(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the asker's own deadline", err)
		}
		if _, err := c.get(t.Context()); err == nil {
			t.Error("a question that timed out has no error")
		}
	})
}

func TestCachedSurvivesAPanic(t *testing.T) {
	t.Parallel()
	c := newCached(func(context.Context) (int, error) { panic("oh") })
	if _, err := c.get(t.Context()); err == nil || !strings.Contains(err.Error(), "oh") {
		t.Errorf("got %v, want the panic", err)
	}
}
