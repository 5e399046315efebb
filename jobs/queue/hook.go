package queue

import (
	"context"
	"slices"
	"strings"
	"time"

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
type hook struct{ leases *leases }

func (hook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		began := time.Now()
		c := parse(cmd)
		if c.endsTask() && h.leases.swallowEnd(c.keys) {
			return nil // after an error asynq would say it again
		}
		if set, isLease := c.sortedSet(); isLease {
			all := c.members()
			if kept := h.leases.withoutLost(set, all); len(kept) < len(all) {
				return h.renewOnly(ctx, cmd, next, set, kept)
			}
		}
		err := next(ctx, cmd)
		if redisclient.IsFull(err) {
			err = c.retryWhenFull(ctx, cmd, next, err)
		}
		if err == nil {
			h.leases.noteSuccess(c, cmd, began)
		}
		return err
	}
}

// renewOnly renews the leases that are left of a renewal of asynq's without those that were lost.
func (h hook) renewOnly(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook, set string, kept []member) error {
	if len(kept) == 0 {
		return nil
	}
	args := []any{"zadd", set, "xx"}
	for _, m := range kept {
		args = append(args, m.score, m.id)
	}
	err := h.ProcessHook(next)(ctx, redis.NewIntCmd(ctx, args...))
	cmd.SetErr(err)
	return err
}

func (hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// command is what hook needs of a command: of scripts their keys, of others none.
type command struct {
	args []any
	keys []string
}

func parse(cmd redis.Cmder) command {
	c := command{args: cmd.Args()}
	if name := cmd.Name(); name != "evalsha" && name != "eval" || len(c.args) < 3 {
		return c
	}
	n, _ := c.args[2].(int)
	for i := 3; i < min(3+n, len(c.args)); i++ {
		key, _ := c.args[i].(string)
		c.keys = append(c.keys, key)
	}
	return c
}

// isDequeue: asynq takes a task. What a script does shows in how its keys end or begin.
func (c command) isDequeue() bool {
	return len(c.keys) == 4 && endWith(c.keys, ":pending", ":paused", ":active", ":lease")
}

// endsTask: asynq says how the work at a task ended.
func (c command) endsTask() bool {
	return slices.ContainsFunc(c.keys, func(key string) bool { return strings.HasSuffix(key, ":active") }) && !c.isDequeue()
}

// isForward: a task whose time has come goes from one list to another.
func (c command) isForward() bool {
	return len(c.keys) == 2 && (endWith(c.keys, ":retry", ":pending") || endWith(c.keys, ":scheduled", ":pending"))
}

// isBeat: a worker says that it is alive, and what it is at.
func (c command) isBeat() bool {
	return len(c.keys) == 2 && strings.HasPrefix(c.keys[0], "asynq:servers:") && strings.HasPrefix(c.keys[1], "asynq:workers:")
}

// member is one of a sorted set.
type member struct {
	id    string
	score float64
}

// members returns those that a ZADD XX renews.
func (c command) members() (all []member) {
	for i := 3; i+1 < len(c.args); i += 2 { // after zadd key xx
		score, _ := c.args[i].(float64)
		id, _ := c.args[i+1].(string)
		all = append(all, member{id, score})
	}
	return all
}

// sortedSet returns the key of the sorted set, of leases or of those alive, that a ZADD is for.
func (c command) sortedSet() (key string, isLease bool) {
	if len(c.args) < 4 || c.args[0] != "zadd" {
		return "", false
	}
	key, _ = c.args[1].(string)
	switch {
	case strings.HasPrefix(key, "asynq:{") && strings.HasSuffix(key, ":lease"):
		return key, true
	case key == "asynq:servers" || key == "asynq:workers" || strings.HasPrefix(key, "asynq:ktaudit:{"):
		return key, false
	}
	return "", false
}

func endWith(keys []string, ends ...string) bool {
	for i, end := range ends {
		if !strings.HasSuffix(keys[i], end) {
			return false
		}
	}
	return true
}

// freeFirst makes a script's first write one that cannot use memory.
const freeFirst = `redis.call("DEL", KEYS[1] .. ":none")` + "\n"

// setAgain is ZADD, which replaces members that are there. ARGV: "xx" for only these, or "", then
// score and member by turns
const setAgain = `
for i = 2, #ARGV, 2 do
	if redis.call("ZREM", KEYS[1], ARGV[i + 1]) == 1 or ARGV[1] ~= "xx" then
		redis.call("ZADD", KEYS[1], ARGV[i], ARGV[i + 1])
	end
end
return 0`

// retryWhenFull runs once more what a full Redis refused, if that may be, and returns how it ended.
func (c command) retryWhenFull(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook, refused error) error {
	if key, _ := c.sortedSet(); key != "" {
		mode, pairs := "", c.args[2:]
		if pairs[0] == "xx" {
			mode, pairs = "xx", pairs[1:]
		}
		retry := redis.NewCmd(ctx, append([]any{"eval", setAgain, 1, key, mode}, pairs...)...)
		err := next(ctx, retry)
		cmd.SetErr(err)
		return err
	}
	done, isScript := cmd.(*redis.Cmd)
	if !isScript || !c.isDequeue() && !c.isForward() && !c.isBeat() {
		return refused
	}
	if c.args[0] == "evalsha" { // of which the text is not known: asynq sends it now
		err := answer("NOSCRIPT for the script's text")
		cmd.SetErr(err)
		return err
	}
	text, _ := c.args[1].(string)
	retry := redis.NewCmd(ctx, append([]any{"eval", freeFirst + text}, c.args[2:]...)...)
	err := next(ctx, retry)
	done.SetVal(retry.Val())
	done.SetErr(err)
	return err
}

// answer is an error that stands for one of Redis's own.
type answer string

func (e answer) Error() string { return string(e) }
func (e answer) RedisError()   {}
