package main

import (
	"context"
	"iter"
	"sync"
)

// task computes one result.
type task[T any] func(context.Context) (T, error)

// inOrder runs up to n tasks at the same time, and passes their results to emit one by one in the
// order of the tasks. After the first error, of a task, emit or ctx, it waits for running tasks and
// returns it.
func inOrder[T any](ctx context.Context, n int, tasks iter.Seq[task[T]], emit func(T) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	type outcome struct {
		value T
		err   error
	}
	next, stop := iter.Pull(tasks)
	defer stop()
	var pending []chan outcome
	for {
		if err := ctx.Err(); err != nil { // not every task checks it
			return err
		}
		for len(pending) < n {
			run, ok := next()
			if !ok {
				break
			}
			done := make(chan outcome, 1)
			pending = append(pending, done)
			running.Go(func() {
				value, err := run(ctx)
				done <- outcome{value, err}
			})
		}
		if len(pending) == 0 {
			return nil
		}
		o := <-pending[0]
		pending = pending[1:]
		if o.err != nil {
			return o.err
		}
		if err := emit(o.value); err != nil {
			return err
		}
	}
}
