package queue

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/jobs/queue/command"
	"github.com/ktaudit/ktaudit/jobs/redisclient"
	"github.com/redis/go-redis/v9"
)

// hook sees each command on its way to Redis, asynq's among them.
//
// It lets a full Redis be drained. Redis refuses a script's first write if that may use memory, and
// asynq's dequeue begins with such a one, so that a queue that is full would stay full for ever. A
// script that has written may go on. So what is refused, and only takes from the queue or holds
// what is in flight, is run once more with a first write that frees memory: for a task that is
// taken a lease of some hundred bytes is new, for as many as workers have slots, and the task is
// gone when it is done. What puts tasks on the queue stays refused.
//
// It keeps the leases' time (see leases), and stops what asynq still says of a task that was lost.
//
// It spares the round trip for a fresh epoch that asynq makes before it takes each one of history:
// where there was none it asks again after askFreshEvery only.
type hook struct {
	leases  *leases
	noFresh *lastEmpty
}

// askFreshEvery is short beside an epoch's way to the queue, and long beside the pause between two
// epochs of history.
const askFreshEvery = 50 * time.Millisecond

// lastEmpty knows when lists were last found to be empty.
type lastEmpty struct {
	mu sync.Mutex
	at map[string]time.Time // by the list's key
}

func (e *lastEmpty) note(list string, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.at == nil {
		e.at = map[string]time.Time{}
	}
	e.at[list] = at
}

func (e *lastEmpty) isRecent(list string, now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return now.Sub(e.at[list]) < askFreshEvery
}

func (hook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		began := time.Now()
		c := command.Parse(cmd)
		if c.EndsTask() && h.leases.swallowEnd(c.Keys) {
			return nil // after an error asynq would say it again
		}
		if set, isLease := c.SortedSet(); isLease {
			all := c.Members()
			if kept := h.leases.withoutLost(set, all); len(kept) < len(all) {
				return h.renewOnly(ctx, cmd, next, set, kept)
			}
		}
		asksForFresh := c.IsDequeue() && strings.HasSuffix(c.Keys[0], ":"+string(Fresh)+"}:pending")
		if asksForFresh && h.noFresh.isRecent(c.Keys[0], began) {
			cmd.SetErr(redis.Nil)
			return redis.Nil
		}
		err := next(ctx, cmd)
		if redisclient.IsFull(err) {
			err = c.RetryWhenFull(ctx, cmd, next, err)
		}
		if asksForFresh && err == redis.Nil {
			h.noFresh.note(c.Keys[0], began)
		}
		if err == nil {
			h.leases.noteSuccess(c, cmd, began)
		}
		return err
	}
}

// renewOnly renews the leases that are left of a renewal of asynq's without those that were lost.
func (h hook) renewOnly(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook, set string, kept []command.Member) error {
	if len(kept) == 0 {
		return nil
	}
	args := []any{"zadd", set, "xx"}
	for _, m := range kept {
		args = append(args, m.Score, m.ID)
	}
	err := h.ProcessHook(next)(ctx, redis.NewIntCmd(ctx, args...))
	cmd.SetErr(err)
	return err
}

func (hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
