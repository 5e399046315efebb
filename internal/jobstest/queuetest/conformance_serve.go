package queuetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/jobs/queue"
)

func testFailures(t *testing.T, q Queue) {
	MustPut(t, q, queue.Backfill, 1, 1, queue.EnqueueCounts{Enqueued: 1})
	if fault, why := q.LastAttempt(jobstest.Namespace, 1); fault || why != nil {
		t.Errorf("before the first attempt: %v, %v", fault, why)
	}
	var n noted
	var mu sync.Mutex
	var delays []int
	succeeds := make(chan struct{})
	serve(t, q, queue.Serving{
		Handle: func(ctx context.Context, taken queue.Taken) error {
			fault, why := q.LastAttempt(jobstest.Namespace, 1)
			if tried := taken.Failures > 0; fault != tried || (why != nil) != tried || tried && why.Error() != errFault.Error() {
				t.Errorf("after %d failures: %v, %v", taken.Failures, fault, why)
			}
			_ = n.note(ctx, taken)
			if taken.Failures == 3 {
				close(succeeds)
				return nil
			}
			return fmt.Errorf("%w", errFault)
		},
		RetryDelay: func(failures int, err error) time.Duration {
			mu.Lock()
			defer mu.Unlock()
			if delays = append(delays, failures); !errors.Is(err, errFault) {
				t.Errorf("the delay is asked for %v", err)
			}
			return time.Millisecond
		},
	})
	<-succeeds
	becomesEmpty(t, q)
	var failures []int
	for _, one := range n.taken() {
		failures = append(failures, one.Failures)
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(failures, []int{0, 1, 2, 3}) || !slices.Equal(delays, []int{0, 1, 2}) {
		t.Errorf("it had failed %d times, and delays were asked for after %d", failures, delays)
	}
	if fault, why := q.LastAttempt(jobstest.Namespace, 1); fault || why != nil {
		t.Errorf("of what has left the queue: %v, %v", fault, why)
	}
}

func testNoFailure(t *testing.T, q Queue) {
	MustPut(t, q, queue.Fresh, 7, 7, queue.EnqueueCounts{Enqueued: 1})
	var tries atomic.Int64
	serve(t, q, queue.Serving{
		Handle: func(_ context.Context, taken queue.Taken) error {
			if tries.Add(1); taken.Failures != 0 {
				t.Errorf("it counts %d failures", taken.Failures)
			}
			return errFault
		},
		IsFailure:  func(error) bool { return false },
		RetryDelay: func(int, error) time.Duration { return time.Millisecond },
	})
	jobstest.Eventually(t, "it is tried again and again", func() bool { return tries.Load() > 2 })
	jobstest.Eventually(t, "why it waits", func() bool {
		fault, why := q.LastAttempt(jobstest.Namespace, 7)
		return !fault && why != nil && why.Error() == errFault.Error()
	})
}

func testPanic(t *testing.T, q Queue) {
	MustPut(t, q, queue.Backfill, 1, 1, queue.EnqueueCounts{Enqueued: 1})
	succeeds := make(chan struct{})
	serve(t, q, queue.Serving{
		Handle: func(_ context.Context, taken queue.Taken) error {
			if taken.Failures == 0 {
				panic("odd")
			}
			close(succeeds)
			return nil
		},
		RetryDelay: func(int, error) time.Duration { return time.Millisecond },
	})
	<-succeeds
	becomesEmpty(t, q)
}

// One log's tasks hang; another's are done.
func testConcurrency(t *testing.T, q Queue) {
	MustPut(t, q, queue.Backfill, 1, 10, queue.EnqueueCounts{Enqueued: 10})
	hold := make(chan struct{})
	var inFlight, most atomic.Int64
	var n noted
	stop := serve(t, q, queue.Serving{Concurrency: 3, Handle: func(ctx context.Context, taken queue.Taken) error {
		if taken.Namespace == other {
			return n.note(ctx, taken)
		}
		now := inFlight.Add(1)
		defer inFlight.Add(-1)
		for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
		}
		<-hold
		return nil
	}})
	jobstest.Eventually(t, "three are in flight", func() bool { return inFlight.Load() == 3 })
	jobstest.Must(t, q.EnqueueReaudits(t.Context(), other, queue.Backfill, jobstest.Span(1, 20)))
	jobstest.Eventually(t, "the other log's are done", func() bool { return len(n.taken()) == 20 })
	if c, err := Counts(q, queue.Backfill); err != nil || c.Active != 3 || c.Pending != 7 {
		t.Errorf("%+v, %v", c, err)
	}
	close(hold)
	becomesEmpty(t, q)
	stop()
	if most.Load() != 3 {
		t.Errorf("%d were in flight at once", most.Load())
	}
}

func testFinishes(t *testing.T, q Queue) {
	MustPut(t, q, queue.Backfill, 1, 1, queue.EnqueueCounts{Enqueued: 1})
	hold := make(chan struct{})
	stop := serve(t, q, queue.Serving{Handle: func(ctx context.Context, _ queue.Taken) error {
		<-hold
		return ctx.Err()
	}})
	serving := func(want int) {
		t.Helper()
		jobstest.Eventually(t, fmt.Sprintf("%d serve", want), func() bool {
			workers, err := q.LiveWorkers(jobstest.Namespace)
			c, countErr := Counts(q, queue.Backfill)
			return err == nil && workers[jobstest.Namespace] == want && countErr == nil && c.Active == 1
		})
	}
	serving(1)
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	serving(0)
	close(hold)
	<-stopped
	if n := waits(t, q, queue.Backfill); n != 0 {
		t.Errorf("%d wait", n)
	}
}

func testHandsBack(t *testing.T, q Queue) {
	putInOrder(t, q, queue.Backfill, 1, 3)
	begun := make(chan struct{})
	stop := serve(t, q, queue.Serving{Concurrency: 1, ShutdownTimeout: time.Millisecond, Handle: func(ctx context.Context, _ queue.Taken) error {
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	}})
	<-begun
	stop()
	if c, err := Counts(q, queue.Backfill); err != nil || c.Pending != 3 || c.Active+c.Retry != 0 {
		t.Errorf("%+v, %v", c, err)
	}
	var n noted
	serve(t, q, queue.Serving{Concurrency: 1, Handle: n.note})
	becomesEmpty(t, q)
	if got := n.taken(); !slices.Equal(n.epochs(), []uint64{1, 2, 3}) || got[0].Failures != 0 {
		t.Errorf("then handed out is %+v", got)
	}
}

func testCounts(t *testing.T, q Queue) {
	empty := func(namespace string, class queue.Class) queue.Counts {
		return queue.Counts{Namespace: namespace, Queue: queue.Name(namespace, class), Class: class}
	}
	check := func(want ...queue.Counts) {
		t.Helper()
		got, err := q.ReadCounts(jobstest.Namespace, other)
		jobstest.Must(t, err)
		for i := range got {
			if got[i].OldestPending < 0 || got[i].OldestPending > time.Minute || got[i].Pending == 0 && got[i].OldestPending != 0 {
				t.Errorf("the oldest of %+v has waited for %s", got[i], got[i].OldestPending)
			}
			got[i].OldestPending = 0
		}
		if !slices.Equal(got, want) {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	fresh, backfill := empty(jobstest.Namespace, queue.Fresh), empty(jobstest.Namespace, queue.Backfill)
	others := []queue.Counts{empty(other, queue.Fresh), empty(other, queue.Backfill)}
	check(append([]queue.Counts{fresh, backfill}, others...)...)
	MustPut(t, q, queue.Backfill, 1, 9, queue.EnqueueCounts{Enqueued: 9})
	MustPut(t, q, queue.Fresh, 10, 11, queue.EnqueueCounts{Enqueued: 2})
	backfill.Pending, fresh.Pending = 9, 2
	check(append([]queue.Counts{fresh, backfill}, others...)...)
	hold := make(chan struct{})
	stop := serve(t, q, queue.Serving{Concurrency: 2, Handle: func(_ context.Context, taken queue.Taken) error {
		if taken.Class == queue.Fresh {
			return errFault
		}
		<-hold
		return nil
	}})
	jobstest.Eventually(t, "two are in flight", func() bool {
		c, err := Counts(q, queue.Backfill)
		return err == nil && c.Active == 2
	})
	backfill.Pending, backfill.Active, fresh.Pending, fresh.Retry = 7, 2, 0, 2
	check(append([]queue.Counts{fresh, backfill}, others...)...)
	if n := waits(t, q, queue.Backfill); n != 9 {
		t.Errorf("%d wait", n)
	}
	jobstest.Eventually(t, "a worker is alive", func() bool {
		workers, err := q.LiveWorkers(jobstest.Namespace, "a.third")
		return err == nil && workers[jobstest.Namespace] == 1 && workers["a.third"] == 0
	})
	close(hold)
	jobstest.Eventually(t, "history is done", func() bool { return waits(t, q, queue.Backfill) == 0 })
	stop()
}

func testRemove(t *testing.T, q Queue) {
	putInOrder(t, q, queue.Fresh, 1, 2)
	putInOrder(t, q, queue.Backfill, 3, 9)
	hold := make(chan struct{})
	var n noted
	serve(t, q, queue.Serving{Concurrency: 1, Handle: func(ctx context.Context, taken queue.Taken) error {
		switch _ = n.note(ctx, taken); taken.Epoch {
		case 1:
			return errFault
		case 2:
			<-hold
		}
		return nil
	}})
	jobstest.Eventually(t, "the second is in flight", func() bool { return len(n.taken()) == 2 })
	jobstest.Must(t, q.Remove(t.Context(), jobstest.Namespace, func(epoch uint64) bool { return epoch <= 5 })) // one rests, one is in flight
	jobstest.Must(t, q.Remove(t.Context(), jobstest.Namespace, func(epoch uint64) bool { return epoch == 5 }))
	if fresh, backfill := waits(t, q, queue.Fresh), waits(t, q, queue.Backfill); fresh != 1 || backfill != 4 {
		t.Errorf("%d fresh ones and %d of history are left", fresh, backfill)
	}
	MustPut(t, q, queue.Backfill, 4, 4, queue.EnqueueCounts{Enqueued: 1}) // which may come back
	close(hold)
	becomesEmpty(t, q)
	if got := n.epochs(); !slices.Equal(got, []uint64{1, 2, 6, 7, 8, 9, 4}) {
		t.Errorf("handed out were %d", got)
	}
}

// Each task goes to one of them. What one leaves at its end the other has done.
func testTwoServe(t *testing.T, q Queue) {
	var n noted
	first := serve(t, q, queue.Serving{Handle: n.note})
	serve(t, q, queue.Serving{Handle: n.note})
	MustPut(t, q, queue.Backfill, 1, 200, queue.EnqueueCounts{Enqueued: 200})
	first()
	becomesEmpty(t, q)
	if got := slices.Sorted(slices.Values(n.epochs())); !slices.Equal(got, jobstest.Span(1, 200)) {
		t.Errorf("handed out were %d", got)
	}
}
