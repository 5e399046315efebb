package queue

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
)

// GiveUpAfter is how long a worker goes on with a task whose lease it cannot renew.
const GiveUpAfter = 12 * time.Second

// A task in flight has a lease in Redis, which its worker renews, asynq every five seconds and
// KeepLeases more often. asynq takes a task from a worker that does not only when by its clock the
// lease is over for half a minute, one to two minutes after the worker was killed. Here a lease is
// over when who watches it (see ReviveAbandoned) has seen it unchanged for abandonedAfter, by the
// watcher's own clock. No two clocks are compared.
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
	// lostFor is how long a lost task is remembered: longer than asynq tries to say how it ended.
	lostFor = 2 * leaseFor
)

// errLeaseLost is why the work at a task ends that may be another worker's by now.
const errLeaseLost = answer("the task's lease was not renewed in time, so that another worker may have it")

// leases are those of the tasks in flight in this process.
type leases struct {
	mu    sync.Mutex
	held  map[string]*lease // by the task's key
	taken []taken
	lost  map[string]*lease
}

type lease struct {
	queue, id string
	renewed   time.Time // when the last renewal was sent that was acknowledged
	score     float64   // which it wrote; 0: not known
	cancel    context.CancelCauseFunc
}

// taken is a task that was taken from a queue and is not held yet.
type taken struct {
	message string // as asynq has it, with the ID in it
	at      time.Time
}

// Hold keeps the lease of a task that a worker begins with. The context that it returns ends when
// the lease is lost; release must be called when the work has ended.
func (r *Redis) Hold(ctx context.Context, queue, id string) (holding context.Context, release func()) {
	if r.IsEmbedded() { // which nobody else takes tasks from
		return ctx, func() {}
	}
	holding, cancel := context.WithCancelCause(ctx)
	l, key := &r.leases, Key(queue, "t:"+id)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held, l.lost = map[string]*lease{}, map[string]*lease{}
	}
	one := &lease{queue, id, l.takenAt(id), 0, cancel}
	l.held[key] = one
	delete(l.lost, key)
	return holding, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.held[key] == one {
			delete(l.held, key)
		}
		cancel(nil)
	}
}

// takenAt returns since when a task is in flight. asynq may have waited for Redis since it took it.
func (l *leases) takenAt(id string) time.Time {
	for i, t := range l.taken {
		if strings.Contains(t.message, id) {
			l.taken = append(l.taken[:i], l.taken[i+1:]...)
			return t.at
		}
	}
	return time.Now()
}

// saw takes note of a command that succeeded and was sent after began.
func (l *leases) saw(c command, cmd redis.Cmder, began time.Time) {
	if c.isDequeue() {
		message, _ := cmd.(*redis.Cmd).Text()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.taken = append(l.taken, taken{message, began})
		return
	}
	key, isLease := c.set()
	if !isLease {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	tasks := strings.TrimSuffix(key, "lease") + "t:"
	for i := 3; i+1 < len(c.args); i += 2 { // after zadd key xx
		score, _ := c.args[i].(float64)
		id, _ := c.args[i+1].(string)
		one := l.held[tasks+id]
		if one == nil {
			continue
		}
		if elapsed(one.renewed, began) >= GiveUpAfter { // by now it may be another's that was renewed
			l.lose(tasks+id, one)
			continue
		}
		one.renewed, one.score = began, score
	}
}

func (l *leases) lose(key string, one *lease) {
	delete(l.held, key)
	l.lost[key] = one
	one.cancel(errLeaseLost)
}

func (l *leases) isLost(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost[key] != nil
}

// elapsed is the longer of what the wall clock and the monotonic clock have counted, which stands
// still while a machine sleeps.
func elapsed(from, to time.Time) time.Duration {
	return max(to.Sub(from), to.Round(0).Sub(from.Round(0)))
}

// KeepLeases renews what is held until ctx ends, and gives up what could not be renewed. A worker
// needs it.
func (r *Redis) KeepLeases(ctx context.Context, log zerolog.Logger) {
	if r.IsEmbedded() {
		return
	}
	var group errgroup.Group
	group.SetLimit(1) // renewals: the next begins when the last has ended
	var renewed time.Time
	for wait.For(ctx, lookEvery) == nil {
		if n := r.leases.giveUp(time.Now()); n > 0 {
			log.Warn().Int("epochs", n).Stringer("after", GiveUpAfter).
				Msg("leases of epochs in flight could not be renewed: the epochs are given up, and go back to the queue")
		}
		if time.Since(renewed) >= renewEvery && group.TryGo(func() error { r.renew(ctx); return nil }) {
			renewed = time.Now()
		}
	}
	_ = group.Wait()
}

// giveUp gives up what was not renewed in time, and returns how many tasks that are.
func (l *leases) giveUp(now time.Time) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, one := range l.held {
		if elapsed(one.renewed, now) >= GiveUpAfter {
			l.lose(key, one)
			n++
		}
	}
	for key, one := range l.lost {
		if elapsed(one.renewed, now) >= lostFor {
			delete(l.lost, key)
		}
	}
	for len(l.taken) > 0 && elapsed(l.taken[0].at, now) >= lostFor { // which asynq did not begin with
		l.taken = l.taken[1:]
	}
	return n
}

// renew renews all leases, and puts back what was lost and is nobody's yet.
func (r *Redis) renew(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, GiveUpAfter)
	defer cancel()
	until := float64(time.Now().Add(leaseFor).Unix())
	byQueue, lost := map[string][]redis.Z{}, []lease{}
	r.leases.mu.Lock()
	for _, one := range r.leases.held {
		byQueue[one.queue] = append(byQueue[one.queue], redis.Z{Score: until, Member: one.id})
	}
	for _, one := range r.leases.lost {
		if one.score != 0 && elapsed(one.renewed, time.Now()) >= abandonedAfter {
			lost = append(lost, *one)
		}
	}
	r.leases.mu.Unlock()
	var group sync.WaitGroup
	for queue, all := range byQueue {
		group.Go(func() { _ = r.Client.ZAddXX(ctx, Key(queue, "lease"), all...).Err() })
	}
	for _, one := range lost {
		if _, err := r.revive(ctx, one.queue, one.id, strconv.FormatFloat(one.score, 'f', -1, 64)); err != nil {
			break // the next time
		}
	}
	group.Wait()
}
