package inprocess_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/queue/inprocess"
	"github.com/rs/zerolog"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	queuetest.Conformance(t, func(t *testing.T) queuetest.Queue { return queuetest.InProcess(t) })
}

func serving(handle func(context.Context, queue.Taken) error) queue.Serving {
	log := zerolog.Nop()
	return queue.Serving{
		Namespaces: []string{jobstest.Namespace}, Concurrency: 1, ShutdownTimeout: time.Minute, PollInterval: time.Second,
		Handle: handle, IsFailure: func(error) bool { return true }, RetryDelay: func(int, error) time.Duration { return time.Hour },
		Log: log, Trouble: func(zerolog.Level) *zerolog.Event { return log.Debug() },
	}
}

// A task whose work hangs gives its slot away when its time is over, and is tried again. What
// becomes of the first attempt at last means nothing.
func TestATaskThatHangsKeepsNoSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := inprocess.New()
		queuetest.MustPut(t, q, queue.Backfill, 1, 2, queue.EnqueueCounts{Enqueued: 2})
		hang := make(chan struct{})
		var mu sync.Mutex
		var order []uint64
		stop, err := q.Serve(serving(func(ctx context.Context, taken queue.Taken) error {
			mu.Lock()
			order = append(order, taken.Epoch)
			mu.Unlock()
			if taken.Epoch == 1 && taken.Failures == 0 {
				<-hang // whatever its context says
				return nil
			}
			return ctx.Err()
		}))
		jobstest.Must(t, err)
		time.Sleep(queue.TaskTimeout + time.Second)
		synctest.Wait()
		c, err := queuetest.Counts(q, queue.Backfill)
		if fault, why := q.LastAttempt(jobstest.Namespace, 1); err != nil || c.Retry != 1 || c.Active != 0 || !fault || why.Error() != context.DeadlineExceeded.Error() {
			t.Errorf("%+v, %v, %v", c, fault, why)
		}
		close(hang)
		synctest.Wait()
		if c, _ := queuetest.Counts(q, queue.Backfill); c.Retry != 1 {
			t.Errorf("the end of the attempt that took too long counts: %+v", c)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		stop()
		if n, _ := q.Waiting(t.Context(), jobstest.Namespace, queue.Backfill); n != 0 || !slices.Equal(order, []uint64{1, 2, 1}) {
			t.Errorf("%d wait, the order is %d", n, order)
		}
	})
}

// What rests comes back to the moment, and nothing of it is left after the end.
func TestRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := inprocess.New()
		queuetest.MustPut(t, q, queue.Backfill, 1, 1, queue.EnqueueCounts{Enqueued: 1})
		var tries []time.Duration
		began := time.Now()
		stop, err := q.Serve(serving(func(context.Context, queue.Taken) error {
			tries = append(tries, time.Since(began))
			return context.DeadlineExceeded
		}))
		jobstest.Must(t, err)
		time.Sleep(2*time.Hour + time.Second)
		stop()
		if !slices.Equal(tries, []time.Duration{0, time.Hour, 2 * time.Hour}) {
			t.Errorf("tried after %s", tries)
		}
		jobstest.Must(t, q.Close())
	})
}

func BenchmarkTask(b *testing.B) {
	q := inprocess.New()
	var done atomic.Int64
	all := make(chan struct{})
	s := serving(func(context.Context, queue.Taken) error {
		if done.Add(1) == int64(b.N) {
			close(all)
		}
		return nil
	})
	s.Concurrency = 16
	stop, err := q.Serve(s)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	queuetest.MustPut(b, q, queue.Backfill, 1, uint64(b.N), queue.EnqueueCounts{Enqueued: uint64(b.N)})
	<-all
	stop()
}
