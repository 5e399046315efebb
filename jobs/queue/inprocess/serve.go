package inprocess

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/rs/zerolog"
)

// server takes the tasks of one log.
type server struct {
	queue.Serving
	queue     *Queue
	namespace string
	free      int // how many more tasks it takes
	working   context.Context
	running   *sync.WaitGroup // calls of Handle
}

// Serve is that of queue.Redis.
func (q *Queue) Serve(s queue.Serving) (stop func(), err error) {
	working, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	var servers []*server
	for _, namespace := range s.Namespaces {
		servers = append(servers, &server{s, q, namespace, s.Concurrency, working, &running})
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, one := range servers {
		l := q.of(one.namespace)
		l.servers = append(l.servers, one)
		l.handOut()
	}
	return func() {
		q.withdraw(servers)
		ended := make(chan struct{})
		go func() { running.Wait(); close(ended) }()
		timeout := time.NewTimer(s.ShutdownTimeout)
		defer timeout.Stop()
		select {
		case <-ended:
		case <-timeout.C:
		}
		q.handBack(servers, cancel)
		<-ended
	}, nil
}

func (q *Queue) withdraw(servers []*server) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range servers {
		q.of(s.namespace).withdraw(s)
	}
}

// handBack puts what is still handed out to some servers back on the queue, and then ends it: the
// other way round its end would count as one.
func (q *Queue) handBack(servers []*server, cancel func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range servers {
		l := q.of(s.namespace)
		for _, t := range l.all {
			if t.by == s {
				l.handBack(t)
			}
		}
	}
	cancel()
	for _, s := range servers {
		q.of(s.namespace).handOut()
	}
}

// handOut hands out what is in line, as long as there is a server for it. It is called whenever
// there may be one more of either.
func (l *tasks) handOut() {
	for _, s := range l.servers {
		for s.free > 0 {
			t := l.next()
			if t == nil {
				return
			}
			s.free--
			t.by = s
			t.attempts++
			s.running.Add(1)
			go s.do(t, t.attempts, queue.Taken{
				Task: queue.Task{Namespace: s.namespace, Epoch: t.epoch, Reaudit: t.reaudit}, Class: t.class, Failures: t.failures,
			})
		}
	}
}

// next takes the next task out of its line; nil if there is none.
func (l *tasks) next() *task {
	for _, class := range queue.Classes {
		if first := l.pending[class].Front(); first != nil {
			t := l.pending[class].Remove(first).(*task)
			t.inLine = nil
			return t
		}
	}
	return nil
}

// do has a task done, and gives its slot away when it takes too long.
func (s *server) do(t *task, attempt int, taken queue.Taken) {
	defer s.running.Done()
	ctx, cancel := context.WithTimeout(s.working, queue.TaskTimeout)
	defer cancel()
	end := func(err error) {
		if err == nil {
			s.done(t, attempt)
			return
		}
		s.failed(t, attempt, s.IsFailure(err), err.Error(), s.RetryDelay(taken.Failures, err))
	}
	stop := context.AfterFunc(ctx, func() { end(ctx.Err()) })
	err := s.handle(ctx, taken)
	stop()
	end(err)
}

// handle calls Handle, and makes an error of a panic.
func (s *server) handle(ctx context.Context, taken queue.Taken) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			s.Trouble(zerolog.ErrorLevel).Bytes("stack", debug.Stack()).Msgf("task of epoch %d: panic: %v", taken.Epoch, cause)
			err = fmt.Errorf("panic: %.200v", cause)
		}
	}()
	return s.Handle(ctx, taken)
}

// done forgets a task that was done.
func (s *server) done(t *task, attempt int) {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	if l := s.takeBack(t, attempt); l != nil {
		l.remove(t)
		l.handOut()
	}
}

// failed has a task rest that is to be tried again.
func (s *server) failed(t *task, attempt int, isFailure bool, why string, rest time.Duration) {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	l := s.takeBack(t, attempt)
	if l == nil {
		return
	}
	if isFailure {
		t.failures++
	}
	t.lastErr = why
	t.resting = time.AfterFunc(rest, func() { s.queue.rested(l, t) })
	l.handOut()
}

// takeBack ends that a task is handed out and returns the log's tasks; nil if that attempt at it
// has ended before: it took too long, or was handed back.
func (s *server) takeBack(t *task, attempt int) *tasks {
	if t.by != s || t.attempts != attempt {
		return nil
	}
	s.free++
	t.by = nil
	return s.queue.of(s.namespace)
}

// rested gives a task whose time has come a place in line.
func (q *Queue) rested(l *tasks, t *task) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l.all[t.taskID] != t { // removed while the timer went off
		return
	}
	t.resting = nil
	l.line(t)
	l.handOut()
}
