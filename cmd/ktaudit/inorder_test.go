package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// count yields n tasks; each returns its number once run allows it.
func count(n int, run func(ctx context.Context, i int) (int, error)) iter.Seq[task[int]] {
	return func(yield func(task[int]) bool) {
		for i := range n {
			if !yield(func(ctx context.Context) (int, error) { return run(ctx, i) }) {
				return
			}
		}
	}
}

func TestInOrderKeepsTheOrder(t *testing.T) {
	t.Parallel()
	// The even tasks end only when the odd one after them has.
	var odd [10]sync.WaitGroup
	for i := range odd {
		odd[i].Add(1)
	}
	run := func(_ context.Context, i int) (int, error) {
		if i%2 == 0 {
			odd[i/2].Wait()
		} else {
			odd[i/2].Done()
		}
		return i, nil
	}
	var got []int
	err := inOrder(t.Context(), 2, count(20, run), func(i int) error { got = append(got, i); return nil })
	if err != nil || len(got) != 20 || !slices.IsSorted(got) {
		t.Errorf("emitted %v, error %v, want 0 to 19 in order", got, err)
	}
}

func TestInOrderRunsNoMoreThanAllowed(t *testing.T) {
	t.Parallel()
	var running, most atomic.Int64
	run := func(_ context.Context, i int) (int, error) {
		now := running.Add(1)
		defer running.Add(-1)
		for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
		}
		return i, nil
	}
	if err := inOrder(t.Context(), 3, count(500, run), func(int) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if most.Load() > 3 {
		t.Errorf("%d tasks ran at once, want at most 3", most.Load())
	}
}

func TestInOrderEndsAtTheFirstError(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	run := func(ctx context.Context, i int) (int, error) {
		switch {
		case i == 5:
			return 0, fmt.Errorf("task %d: %w", i, broken)
		case i > 5:
			<-ctx.Done() // set free only when inOrder gives up
		}
		return i, nil
	}
	var got []int
	err := inOrder(t.Context(), 4, count(100, run), func(i int) error { got = append(got, i); return nil })
	if !errors.Is(err, broken) || len(got) != 5 {
		t.Errorf("emitted %v, error %v, want 0 to 4 and the error of task 5", got, err)
	}
}

func TestInOrderEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	emitted := 0
	// it does not look at its context
	forever := func(_ context.Context, i int) (int, error) { return i, nil }
	err := inOrder(ctx, 2, count(1<<62, forever), func(int) error {
		if emitted++; emitted == 10 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || emitted != 10 {
		t.Errorf("%d results after the context's end, error %v, want none and its error", emitted-10, err)
	}
}
