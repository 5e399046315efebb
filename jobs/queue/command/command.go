// Package command reads what asynq sends to Redis: what a command is for shows in how its keys
// begin and end. It promises to run once more what a full Redis refused and may pass, and changes
// no other command; what follows from a command is left to package queue.
package command

import (
	"context"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Command is one on its way to Redis. Of scripts it has their keys, of others none.
type Command struct {
	args []any
	Keys []string
}

// Parse reads a command.
func Parse(cmd redis.Cmder) Command {
	c := Command{args: cmd.Args()}
	if name := cmd.Name(); name != "evalsha" && name != "eval" || len(c.args) < 3 {
		return c
	}
	n, _ := c.args[2].(int)
	for i := 3; i < min(3+n, len(c.args)); i++ {
		key, _ := c.args[i].(string)
		c.Keys = append(c.Keys, key)
	}
	return c
}

// IsDequeue: asynq takes a task. What a script does shows in how its keys end or begin.
func (c Command) IsDequeue() bool {
	return len(c.Keys) == 4 && endWith(c.Keys, ":pending", ":paused", ":active", ":lease")
}

// EndsTask: asynq says how the work at a task ended.
func (c Command) EndsTask() bool {
	return slices.ContainsFunc(c.Keys, func(key string) bool { return strings.HasSuffix(key, ":active") }) && !c.IsDequeue()
}

// isForward: a task whose time has come goes from one list to another.
func (c Command) isForward() bool {
	return len(c.Keys) == 2 && (endWith(c.Keys, ":retry", ":pending") || endWith(c.Keys, ":scheduled", ":pending"))
}

// isBeat: a worker says that it is alive, and what it is at.
func (c Command) isBeat() bool {
	return len(c.Keys) == 2 && strings.HasPrefix(c.Keys[0], "asynq:servers:") && strings.HasPrefix(c.Keys[1], "asynq:workers:")
}

// Member is one of a sorted set.
type Member struct {
	ID    string
	Score float64
}

// Members returns those that a ZADD XX renews.
func (c Command) Members() (all []Member) {
	for i := 3; i+1 < len(c.args); i += 2 { // after zadd key xx
		score, _ := c.args[i].(float64)
		id, _ := c.args[i+1].(string)
		all = append(all, Member{id, score})
	}
	return all
}

// SortedSet returns the key of the sorted set, of leases or of those alive, that a ZADD is for.
func (c Command) SortedSet() (key string, isLease bool) {
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

// RetryWhenFull runs once more what a full Redis refused, if that may be, and returns how it ended.
func (c Command) RetryWhenFull(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook, refused error) error {
	if key, _ := c.SortedSet(); key != "" {
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
	if !isScript || !c.IsDequeue() && !c.isForward() && !c.isBeat() {
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
