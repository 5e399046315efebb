package main

import (
	"context"
	"iter"
	"sync"
)

// task is one piece of work.
type task[T any] func(context.Context) (T, error)

// inOrder runs tasks, up to n at the same time, and hands their results to emit one by one in the order of the tasks.
// The first error, of a task, of emit or of ctx, ends it, once the tasks that are running have ended.
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
		if err := ctx.Err(); err != nil { // not every task looks at it
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
