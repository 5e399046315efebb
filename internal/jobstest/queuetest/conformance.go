package queuetest

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/rs/zerolog"
)

const other = "other.log"

var errFault = errors.New("the network is down")

// Conformance is what each kind of queue must pass. open returns an empty one.
func Conformance(t *testing.T, open func(t *testing.T) Queue) {
	for name, test := range map[string]func(t *testing.T, q Queue){
		"an epoch is on the queue once":                      testOnce,
		"enqueuers side by side":                             testSideBySide,
		"what leaves meanwhile is not put there again":       testLeavesMeanwhile,
		"enqueuing stops with its context":                   testContext,
		"reaudits have tasks of their own":                   testReaudits,
		"fresh epochs first, each class in order":            testOrder,
		"what is done may be enqueued again":                 testDone,
		"failures are counted, and tried again":              testFailures,
		"what is no failure does not count":                  testNoFailure,
		"a panic is a failure":                               testPanic,
		"a log has as many as Concurrency says, and its own": testConcurrency,
		"what is in flight may end at the end":               testFinishes,
		"what takes too long is handed back":                 testHandsBack,
		"counts":                                             testCounts,
		"what is removed, and what stays":                    testRemove,
		"two that serve":                                     testTwoServe,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// serve has a queue hand out the tasks of two logs until the test ends or stop is called.
func serve(t *testing.T, q Queue, s queue.Serving) (stop func()) {
	t.Helper()
	s.Namespaces = []string{jobstest.Namespace, other}
	s.Concurrency = cmp.Or(s.Concurrency, 4)
	s.ShutdownTimeout = cmp.Or(s.ShutdownTimeout, time.Minute)
	s.PollInterval = 10 * time.Millisecond
	if s.IsFailure == nil {
		s.IsFailure = func(error) bool { return true }
	}
	if s.RetryDelay == nil {
		s.RetryDelay = func(int, error) time.Duration { return 10 * time.Minute } // a Redis believes in no more than 15
	}
	s.Log = zerolog.Nop()
	s.Trouble = func(zerolog.Level) *zerolog.Event { return s.Log.Debug() }
	end, err := q.Serve(s)
	jobstest.Must(t, err)
	stop = sync.OnceFunc(end)
	t.Cleanup(stop)
	return stop
}

// noted notes what is handed out.
type noted struct {
	mu  sync.Mutex
	all []queue.Taken
}

func (n *noted) note(_ context.Context, taken queue.Taken) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, taken)
	return nil
}

func (n *noted) taken() []queue.Taken {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.all)
}

func (n *noted) epochs() (epochs []uint64) {
	for _, one := range n.taken() {
		epochs = append(epochs, one.Epoch)
	}
	return epochs
}

func waits(t *testing.T, q Queue, class queue.Class) int64 {
	t.Helper()
	n, err := q.Waiting(t.Context(), jobstest.Namespace, class)
	jobstest.Must(t, err)
	return n
}

// becomesEmpty waits for the last task to be done. One that rests may be missed when its time
// comes.
func becomesEmpty(t *testing.T, q Queue) {
	t.Helper()
	jobstest.Eventually(t, "an empty queue", func() bool { return waits(t, q, queue.Backfill)+waits(t, q, queue.Fresh) == 0 })
}

// putInOrder puts epochs on a queue one after the other: what is put there at once comes in about
// that order only.
func putInOrder(t *testing.T, q Queue, class queue.Class, from, to uint64) {
	t.Helper()
	for epoch := from; epoch <= to; epoch++ {
		MustPut(t, q, class, epoch, epoch, queue.EnqueueCounts{Enqueued: 1})
	}
}

func testOnce(t *testing.T, q Queue) {
	MustPut(t, q, queue.Backfill, 1, 300, queue.EnqueueCounts{Enqueued: 300})
	MustPut(t, q, queue.Backfill, 1, 300, queue.EnqueueCounts{AlreadyQueued: 300})
	MustPut(t, q, queue.Backfill, 290, 310, queue.EnqueueCounts{Enqueued: 10, AlreadyQueued: 11})
	MustPut(t, q, queue.Fresh, 310, 311, queue.EnqueueCounts{Enqueued: 1, AlreadyQueued: 1})
	if backfill, fresh := waits(t, q, queue.Backfill), waits(t, q, queue.Fresh); backfill != 310 || fresh != 1 {
		t.Errorf("%d of history and %d fresh ones wait", backfill, fresh)
	}
	// those that are in flight or rest count
	failed := make(chan struct{}, 2)
	hold := make(chan struct{})
	letGo := sync.OnceFunc(func() { close(hold) })
	stop := serve(t, q, queue.Serving{Concurrency: 2, Handle: func(_ context.Context, taken queue.Taken) error {
		if taken.Epoch == 311 {
			failed <- struct{}{}
			return errFault
		}
		<-hold
		return nil
	}})
	t.Cleanup(letGo) // or the end of a test that failed would wait for ever
	<-failed
	jobstest.Eventually(t, "the epoch that failed to rest", func() bool {
		c, err := Counts(q, queue.Fresh)
		return err == nil && c.Retry == 1
	})
	MustPut(t, q, queue.Backfill, 1, 311, queue.EnqueueCounts{AlreadyQueued: 311})
	letGo()
	stop()
}

func testSideBySide(t *testing.T, q Queue) {
	var enqueued atomic.Uint64
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			c, err := q.EnqueueEach(t.Context(), jobstest.Namespace, queue.Backfill, func(send func(uint64) error) error {
				for epoch := range uint64(200) {
					if err := send(epoch + 1); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			enqueued.Add(c.Enqueued)
		})
	}
	group.Wait()
	if n := waits(t, q, queue.Backfill); n != 200 || enqueued.Load() != 200 {
		t.Errorf("%d wait, and %d were enqueued", n, enqueued.Load())
	}
}

// Who enqueues may have looked for what lacks a verdict just before that was written.
func testLeavesMeanwhile(t *testing.T, q Queue) {
	MustPut(t, q, queue.Backfill, 1, 1, queue.EnqueueCounts{Enqueued: 1})
	var n noted
	c, err := q.EnqueueEach(t.Context(), jobstest.Namespace, queue.Backfill, func(send func(uint64) error) error {
		serve(t, q, queue.Serving{Handle: n.note})
		becomesEmpty(t, q)
		return errors.Join(send(1), send(2))
	})
	if want := (queue.EnqueueCounts{Enqueued: 1, AlreadyQueued: 1}); err != nil || c != want {
		t.Errorf("%+v, %v, want %+v", c, err, want)
	}
	becomesEmpty(t, q)
	if got := n.epochs(); !slices.Equal(got, []uint64{1, 2}) {
		t.Errorf("handed out were %d", got)
	}
}

func testContext(t *testing.T, q Queue) {
	ctx, cancel := context.WithCancel(t.Context())
	c, err := q.EnqueueEach(ctx, jobstest.Namespace, queue.Backfill, func(send func(uint64) error) error {
		for epoch := uint64(1); ; epoch++ {
			if epoch == 100 {
				cancel()
			}
			if err := send(epoch); err != nil {
				return err
			}
		}
	})
	if !errors.Is(err, context.Canceled) || c.Enqueued > 1000 {
		t.Errorf("%+v, %v", c, err)
	}
	if err := q.Probe(t.Context(), jobstest.Namespace); err != nil {
		t.Error(err)
	}
}

func testReaudits(t *testing.T, q Queue) {
	for range 2 {
		jobstest.Must(t, q.EnqueueReaudits(t.Context(), jobstest.Namespace, queue.Backfill, []uint64{2, 3}))
	}
	if n := waits(t, q, queue.Backfill); n != 2 {
		t.Errorf("%d tasks wait, want 2", n)
	}
	MustPut(t, q, queue.Backfill, 1, 3, queue.EnqueueCounts{Enqueued: 3})
	jobstest.Must(t, q.Remove(t.Context(), jobstest.Namespace, func(epoch uint64) bool { return epoch == 3 }))
	var n noted
	serve(t, q, queue.Serving{Handle: n.note})
	becomesEmpty(t, q)
	got := map[queue.Task]int{}
	for _, one := range n.taken() {
		got[one.Task]++
	}
	for _, want := range []queue.Task{{Epoch: 1}, {Epoch: 2}, {Epoch: 2, Reaudit: true}, {Epoch: 3, Reaudit: true}} {
		want.Namespace = jobstest.Namespace
		if got[want] != 1 || len(got) != 4 {
			t.Errorf("%+v is handed out %d times, of %v", want, got[want], got)
		}
	}
}

func testOrder(t *testing.T, q Queue) {
	putInOrder(t, q, queue.Backfill, 1, 20)
	putInOrder(t, q, queue.Fresh, 101, 120)
	var n noted
	serve(t, q, queue.Serving{Concurrency: 1, Handle: func(ctx context.Context, taken queue.Taken) error {
		if taken.Epoch == 120 { // goes ahead of history, too
			MustPut(t, q, queue.Fresh, 121, 121, queue.EnqueueCounts{Enqueued: 1})
		}
		if want := map[bool]queue.Class{true: queue.Fresh, false: queue.Backfill}[taken.Epoch > 100]; taken.Class != want {
			t.Errorf("epoch %d is of class %s", taken.Epoch, taken.Class)
		}
		return n.note(ctx, taken)
	}})
	becomesEmpty(t, q)
	if got, want := n.epochs(), slices.Concat(jobstest.Span(101, 121), jobstest.Span(1, 20)); !slices.Equal(got, want) {
		t.Errorf("the order is %d", got)
	}
}

func testDone(t *testing.T, q Queue) {
	var n noted
	serve(t, q, queue.Serving{Handle: n.note})
	for range 3 {
		MustPut(t, q, queue.Backfill, 1, 5, queue.EnqueueCounts{Enqueued: 5})
		becomesEmpty(t, q)
	}
	if got := len(n.taken()); got != 15 {
		t.Errorf("%d were handed out", got)
	}
}
