package inprocess

import (
	"container/list"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

// Queue holds the tasks of any number of logs.
type Queue struct {
	mu   sync.Mutex
	logs map[string]*tasks // by namespace
}

// New returns a queue without tasks.
func New() *Queue { return &Queue{logs: map[string]*tasks{}} }

// tasks are those of one log.
type tasks struct {
	all     map[taskID]*task
	pending map[queue.Class]*list.List // of those that wait for their turn, the next one in front
	servers []*server                  // that take some
}

// taskID is what there can be one task of.
type taskID struct {
	class   queue.Class
	epoch   uint64
	reaudit bool
}

type task struct {
	taskID
	inLine   *list.Element // its place among those that wait for their turn
	since    time.Time     // when it got that
	by       *server       // which it is handed out to
	resting  *time.Timer   // at the end of which it gets a place
	attempts int           // how often it was handed out
	failures int
	lastErr  string
}

// of returns the tasks of a log. The caller holds the lock, of this and of all methods of tasks.
func (q *Queue) of(namespace string) *tasks {
	l := q.logs[namespace]
	if l == nil {
		l = &tasks{all: map[taskID]*task{}, pending: map[queue.Class]*list.List{}}
		for _, class := range queue.Classes {
			l.pending[class] = list.New()
		}
		q.logs[namespace] = l
	}
	return l
}

// add adds a task at the end of its line, unless it is there.
func (l *tasks) add(id taskID) (added bool) {
	if l.all[id] != nil {
		return false
	}
	t := &task{taskID: id}
	l.all[id] = t
	l.line(t)
	l.handOut()
	return true
}

// line gives a task a place at the end of its line.
func (l *tasks) line(t *task) {
	t.inLine, t.since = l.pending[t.class].PushBack(t), time.Now()
}

// EnqueueEach is that of queue.Redis.
func (q *Queue) EnqueueEach(ctx context.Context, namespace string, class queue.Class, produce func(send func(epoch uint64) error) error) (queue.EnqueueCounts, error) {
	var counts queue.EnqueueCounts
	queued := q.queued(namespace)
	err := produce(func(epoch uint64) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !queued.Has(epoch) && q.put(namespace, class, epoch) {
			counts.Enqueued++
		} else {
			counts.AlreadyQueued++
		}
		return nil
	})
	return counts, err
}

// queued returns the epochs of a log that are on the queue for their audit.
func (q *Queue) queued(namespace string) *epochset.Set {
	q.mu.Lock()
	defer q.mu.Unlock()
	var set epochset.Set
	for id := range q.of(namespace).all {
		if !id.reaudit {
			set.Add(id.epoch)
		}
	}
	return &set
}

// put adds an epoch for its audit, unless it is there, of whichever class.
func (q *Queue) put(namespace string, class queue.Class, epoch uint64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.of(namespace)
	for _, other := range queue.Classes {
		if l.all[taskID{class: other, epoch: epoch}] != nil {
			return false
		}
	}
	return l.add(taskID{class: class, epoch: epoch})
}

// EnqueueReaudits is that of queue.Redis.
func (q *Queue) EnqueueReaudits(_ context.Context, namespace string, class queue.Class, epochs []uint64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, epoch := range epochs {
		q.of(namespace).add(taskID{class, epoch, true})
	}
	return nil
}

// Remove takes the unwanted epochs of a log off its queues. One that a worker is at stays.
func (q *Queue) Remove(_ context.Context, namespace string, unwanted func(epoch uint64) bool) error {
	var remove []uint64
	for epoch := range q.queued(namespace).All() {
		if unwanted(epoch) {
			remove = append(remove, epoch)
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.of(namespace)
	for _, epoch := range remove {
		for _, class := range queue.Classes {
			if t := l.all[taskID{class: class, epoch: epoch}]; t != nil && t.by == nil {
				l.remove(t)
			}
		}
	}
	return nil
}

// remove forgets a task.
func (l *tasks) remove(t *task) {
	if t.inLine != nil {
		l.pending[t.class].Remove(t.inLine)
	}
	if t.resting != nil {
		t.resting.Stop()
	}
	delete(l.all, t.taskID)
}

// Waiting returns how many epochs of a class are on the queue, those in flight included.
func (q *Queue) Waiting(_ context.Context, namespace string, class queue.Class) (int64, error) {
	counts := q.count(namespace, class)
	return int64(counts.Pending + counts.Active + counts.Retry), nil
}

// ReadCounts returns the state of the queues of some logs.
func (q *Queue) ReadCounts(namespaces ...string) ([]queue.Counts, error) {
	var all []queue.Counts
	for _, namespace := range namespaces {
		for _, class := range queue.Classes {
			all = append(all, q.count(namespace, class))
		}
	}
	return all, nil
}

func (q *Queue) count(namespace string, class queue.Class) queue.Counts {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.of(namespace)
	counts := queue.Counts{Namespace: namespace, Queue: queue.Name(namespace, class), Class: class, Pending: l.pending[class].Len()}
	if first := l.pending[class].Front(); first != nil {
		counts.OldestPending = time.Since(first.Value.(*task).since)
	}
	for _, t := range l.all {
		switch {
		case t.class != class:
		case t.by != nil:
			counts.Active++
		case t.inLine == nil:
			counts.Retry++
		}
	}
	return counts
}

// LastAttempt says why an epoch's job ended without a verdict when it was last tried, and whether
// that was a fault or it waits for something; nil if it is not on the queue, or was not tried.
func (q *Queue) LastAttempt(namespace string, epoch uint64) (fault bool, why error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, class := range queue.Classes {
		if t := q.of(namespace).all[taskID{class: class, epoch: epoch}]; t != nil && t.lastErr != "" {
			return t.failures > 0, errors.New(t.lastErr)
		}
	}
	return false, nil
}

// LiveWorkers returns how many workers take the tasks of each of some logs.
func (q *Queue) LiveWorkers(namespaces ...string) (map[string]int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	workers := map[string]int{}
	for _, namespace := range namespaces {
		if n := len(q.of(namespace).servers); n > 0 {
			workers[namespace] = n
		}
	}
	return workers, nil
}

// IsShared tells that no other process uses the queue.
func (q *Queue) IsShared() bool { return false }

// Probe returns nil: the queue can be written.
func (q *Queue) Probe(context.Context, ...string) error { return nil }

func (q *Queue) String() string { return queue.Embedded }

// Close forgets all tasks. Nobody takes any by then.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, l := range q.logs {
		for _, t := range l.all {
			l.remove(t)
		}
	}
	return nil
}

// handBack gives a task that is handed out a place in front.
func (l *tasks) handBack(t *task) {
	t.by.free++
	t.by = nil
	t.inLine = l.pending[t.class].PushFront(t) // it has waited since it was first in line
}

// withdraw ends that a server takes tasks.
func (l *tasks) withdraw(s *server) {
	l.servers = slices.DeleteFunc(l.servers, func(other *server) bool { return other == s })
}
