package queue

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/queue/command"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/encoding/protowire"
)

// GiveUpAfter is how long a worker goes on with a task whose lease it cannot renew.
const GiveUpAfter = 12 * time.Second

// A task in flight has a lease in Redis, which its worker renews, asynq every five seconds and
// keepLeases more often. asynq takes a task from a worker that does not only when by its clock the
// lease is over for half a minute, one to two minutes after the worker was killed. Here a lease is
// over when who watches it (see ReviveAbandoned) has seen it unchanged for abandonedAfter, by the
// watcher's own clock. No two clocks are compared: a worker that puts back what it lost itself asks
// once for the lease that it wrote, so that another's clock has no time to come to the same number.
//
// No epoch is judged twice at once for it. A worker gives up what it has not renewed for
// GiveUpAfter, counted from before the renewal was sent that Redis acknowledged: within a second of
// that time, or, if it was paused (SIGSTOP, a virtual machine that was moved), as soon as it runs.
// A watcher counts from after it has read what that renewal wrote, or from later, and needs three
// seconds more. So the worker has stopped for two seconds when another takes the task; what it says
// of the task from then on is not sent. That Redis is slow or lost a renewal in a failover makes
// either count later or the worker give up earlier. Only a pause that begins within the
// milliseconds between a worker's last look at the time and a write to the audit store lets two
// work at one epoch, for as long as that write takes; a verdict is written once, whoever comes
// first.
const (
	renewEvery     = 3 * time.Second
	abandonedAfter = GiveUpAfter + 3*time.Second // the three seconds of the argument above
	lookEvery      = time.Second
	leaseFor       = 30 * time.Second // asynq's
	// lostFor is longer than asynq may say how a run ended, counted from the end.
	lostFor = 2 * leaseFor
)

// leases are those of the tasks in flight in this process.
type leases struct {
	mu       sync.Mutex
	held     map[string]*lease    // by the task's key
	lost     map[string]*lostTask // by the task's key
	dequeued []dequeuedTask       // which asynq has not begun with
	patience time.Duration        // how long hold waits, for tests; lostFor if zero
	unlogged int                  // tasks that were lost since giveUp last returned
}

type lease struct {
	queue, id string
	renewed   time.Time // when the last renewal was sent that was acknowledged
	score     float64   // which it wrote; 0: not known
	cancel    context.CancelCauseFunc
	lost      *lostTask // nil as long as it is held
}

// lostTask is a task whose lease was lost. It is remembered until each run at it has ended and
// asynq has said so, which is kept from Redis; what asynq never says is waited for until lostFor
// after the end.
type lostTask struct {
	lease                   // the one that was lost last; without a score once it was put back
	running, endsToCome int // runs that go on; runs whose end asynq has not said
	hangs               bool
	ended               time.Time
	forgotten           chan struct{} // is closed then
}

type dequeuedTask struct {
	key string
	at  time.Time // before the command was sent that took it
}

// hold keeps the lease of a task that a worker begins with.
//
// While a run of this process at the same task goes on that has lost its lease, hold waits: asynq's
// words on the two could not be told apart. It does not wait for ever, since a run may hang: then
// the first end that asynq says counts for nothing, whosever it is, and the task is taken again.
//
// The context that it returns ends when the lease is lost; release must be called when the work has
// ended.
func (r *Redis) hold(ctx context.Context, queue, id string) (holding context.Context, release func()) {
	holding, cancel := context.WithCancelCause(ctx)
	l, key := &r.leases, Key(queue, "t:"+id)
	one := l.hold(key, &lease{queue: queue, id: id, cancel: cancel})
	l.awaitForgotten(holding, key)
	return holding, func() {
		l.release(key, one)
		cancel(nil)
	}
}

func (l *leases) hold(key string, one *lease) *lease {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held, l.lost = map[string]*lease{}, map[string]*lostTask{}
	}
	one.renewed = l.takenAt(key)
	l.held[key] = one
	return one
}

// awaitForgotten returns when a lost task is forgotten, ctx has ended, or patience is over: then a
// run at it hangs.
func (l *leases) awaitForgotten(ctx context.Context, key string) {
	patience, cancel := context.WithTimeout(ctx, cmp.Or(l.patience, lostFor))
	defer cancel()
	for {
		l.mu.Lock()
		lost := l.lost[key]
		if lost != nil && patience.Err() != nil {
			lost.hangs = ctx.Err() == nil
		}
		l.mu.Unlock()
		if lost == nil || patience.Err() != nil {
			return
		}
		select {
		case <-lost.forgotten:
		case <-patience.Done():
		}
	}
}

func (l *leases) release(key string, one *lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case one.lost != nil:
		one.lost.running--
		one.lost.ended = time.Now()
		l.forgetEnded(key)
	case l.held[key] == one: // and not that of a later run, which began when this one took too long
		delete(l.held, key)
	}
}

// takenAt returns since when a task is in flight. asynq may have waited for Redis since it took it.
func (l *leases) takenAt(key string) time.Time {
	i := slices.IndexFunc(l.dequeued, func(t dequeuedTask) bool { return t.key == key })
	if i < 0 {
		return time.Now()
	}
	at := l.dequeued[i].at
	l.dequeued = slices.Delete(l.dequeued, i, i+1)
	return at
}

// noteSuccess takes note of a command that succeeded and was sent after began.
func (l *leases) noteSuccess(c command.Command, cmd redis.Cmder, began time.Time) {
	if c.IsDequeue() {
		message, _ := cmd.(*redis.Cmd).Text()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.dequeued = append(l.dequeued, dequeuedTask{taskOfLease(c.Keys[3], messageID(message)), began})
		return
	}
	key, isLease := c.SortedSet()
	if !isLease {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range c.Members() {
		task := taskOfLease(key, m.ID)
		one := l.held[task]
		if one == nil {
			continue
		}
		if elapsed(one.renewed, began) >= GiveUpAfter { // by now it may be another's that was renewed
			l.lose(task, one)
			continue
		}
		one.renewed, one.score = began, m.Score
	}
}

// messageID returns the ID in a task's message, which asynq encodes as a TaskMessage of its
// asynq.proto; "" if there is none.
func messageID(message string) string {
	const idField = 3
	for b := []byte(message); len(b) > 0; {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return ""
		}
		b = b[n:]
		if field == idField && kind == protowire.BytesType {
			id, _ := protowire.ConsumeString(b)
			return id
		}
		if n = protowire.ConsumeFieldValue(field, kind, b); n < 0 {
			return ""
		}
		b = b[n:]
	}
	return ""
}

func (l *leases) lose(key string, one *lease) {
	delete(l.held, key)
	lost := l.lost[key]
	if lost == nil {
		lost = &lostTask{forgotten: make(chan struct{})}
		l.lost[key] = lost
	}
	lost.lease = *one
	lost.running++
	lost.endsToCome++
	l.unlogged++
	one.lost = lost
	one.cancel(ErrLeaseLost)
}

// swallowEnd tells whether what asynq says of a task's end must not reach Redis, since a run that
// lost the task may be meant. asynq says how a run ended after the run has released its lease. What
// it says before that its recoverer says, or it has stopped waiting for the run; either may come
// again.
func (l *leases) swallowEnd(keys []string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range keys {
		lost := l.lost[key]
		if lost == nil || lost.endsToCome == 0 {
			continue
		}
		if lost.endsToCome > lost.running || lost.hangs {
			lost.endsToCome--
			l.forgetEnded(key)
		}
		return true
	}
	return false
}

// forgetEnded forgets a lost task of which asynq says no more.
func (l *leases) forgetEnded(key string) {
	if lost := l.lost[key]; lost != nil && lost.running == 0 && lost.endsToCome == 0 {
		delete(l.lost, key)
		close(lost.forgotten)
	}
}

// withoutLost returns those of a set of leases that are not of lost tasks.
func (l *leases) withoutLost(set string, all []command.Member) []command.Member {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(all), func(m command.Member) bool {
		task := taskOfLease(set, m.ID)
		return l.lost[task] != nil && l.held[task] == nil
	})
}

// taskOfLease returns the key of a task, given that of the leases of its queue.
func taskOfLease(set, id string) string { return strings.TrimSuffix(set, "lease") + "t:" + id }

// elapsed is the longer of what the wall clock and the monotonic clock have counted, which stands
// still while a machine sleeps.
func elapsed(from, to time.Time) time.Duration {
	return max(to.Sub(from), to.Round(0).Sub(from.Round(0)))
}

// keepLeases renews what is held until ctx ends, and gives up what could not be renewed. A worker
// needs it.
func (r *Redis) keepLeases(ctx context.Context, log zerolog.Logger) {
	// A queue whose node of Redis does not answer costs other queues nothing.
	type queueCalls struct {
		renewals, revivals errgroup.Group // one of each at a time
		renewed            time.Time
	}
	calls := map[string]*queueCalls{}
	of := func(queue string) *queueCalls {
		if calls[queue] == nil {
			calls[queue] = &queueCalls{}
			calls[queue].renewals.SetLimit(1)
			calls[queue].revivals.SetLimit(1)
		}
		return calls[queue]
	}
	var logging sync.WaitGroup // a log that hangs must not delay the next look
	for wait.For(ctx, lookEvery) == nil {
		if n := r.leases.giveUp(time.Now()); n > 0 {
			logging.Go(func() {
				log.Warn().Int("epochs", n).Stringer("after", GiveUpAfter).
					Msg("leases of epochs in flight could not be renewed: the epochs are given up, and go back to the queue")
			})
		}
		held, lost := r.leases.byQueue()
		for queue, ids := range held {
			c := of(queue)
			if time.Since(c.renewed) >= renewEvery && c.renewals.TryGo(func() error { r.renew(ctx, queue, ids); return nil }) {
				c.renewed = time.Now()
			}
		}
		for queue, tasks := range lost {
			of(queue).revivals.TryGo(func() error { r.reviveLost(ctx, tasks); return nil })
		}
	}
	for _, c := range calls {
		_, _ = c.renewals.Wait(), c.revivals.Wait()
	}
	logging.Wait()
}

// byQueue returns the IDs of the tasks that are held, and those that were lost and may be put back.
func (l *leases) byQueue() (held map[string][]string, lost map[string][]lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	held, lost = map[string][]string{}, map[string][]lease{}
	for _, one := range l.held {
		held[one.queue] = append(held[one.queue], one.id)
	}
	for key, one := range l.lost {
		if one.score != 0 && l.held[key] == nil && elapsed(one.renewed, time.Now()) >= abandonedAfter {
			lost[one.queue] = append(lost[one.queue], one.lease)
		}
	}
	return held, lost
}

// giveUp gives up what was not renewed in time, and returns how many tasks were lost since the last
// time.
func (l *leases) giveUp(now time.Time) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, one := range l.held {
		if elapsed(one.renewed, now) >= GiveUpAfter {
			l.lose(key, one)
		}
	}
	for key, one := range l.lost {
		if one.running == 0 && elapsed(one.ended, now) >= lostFor {
			one.endsToCome = 0
			l.forgetEnded(key)
		}
	}
	for len(l.dequeued) > 0 && elapsed(l.dequeued[0].at, now) >= lostFor { // which asynq did not begin with
		l.dequeued = l.dequeued[1:]
	}
	n, l.unlogged = l.unlogged, 0
	return n
}

func (r *Redis) renew(ctx context.Context, queue string, ids []string) {
	ctx, cancel := context.WithTimeout(ctx, GiveUpAfter)
	defer cancel()
	until := float64(time.Now().Add(leaseFor).Unix())
	all := make([]redis.Z, len(ids))
	for i, id := range ids {
		all[i] = redis.Z{Score: until, Member: id}
	}
	_ = r.Client.ZAddXX(ctx, Key(queue, "lease"), all...).Err() // noteSuccess sees it
}

// reviveLost puts back what was lost and is nobody's yet.
func (r *Redis) reviveLost(ctx context.Context, lost []lease) {
	ctx, cancel := context.WithTimeout(ctx, GiveUpAfter)
	defer cancel()
	for _, one := range lost {
		if _, err := r.revive(ctx, one.queue, one.id, strconv.FormatFloat(one.score, 'f', -1, 64)); err != nil {
			return // the next time
		}
		r.leases.noteRevived(one)
	}
}

// noteRevived takes note that a lost task was put back, or is somebody else's.
func (l *leases) noteRevived(one lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if lost := l.lost[Key(one.queue, "t:"+one.id)]; lost != nil && lost.score == one.score {
		lost.score = 0
	}
}
