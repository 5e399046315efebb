package queue

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
)

// maxInFlight bounds how many tasks in flight are watched in one queue.
const maxInFlight = 10_000

// reviveScript puts a task in flight back to the front of its queue, if its lease is still the one
// that was seen: nobody has renewed it, and nobody else has put it back. Its first write frees
// memory, so that a full Redis lets it pass. A task without its contents can never be run, and is
// taken from the list.
//
// KEYS: active, lease, pending. ARGV: task ID, the lease's score or "" for none, Unix nanoseconds,
// what a task's key begins with
var reviveScript = redis.NewScript(`
local score, key = redis.call("ZSCORE", KEYS[2], ARGV[1]), ARGV[4] .. ARGV[1]
if (score and tonumber(score) or "") ~= (tonumber(ARGV[2]) or "") then return 0 end
if redis.call("LREM", KEYS[1], 0, ARGV[1]) == 0 then return 0 end
redis.call("ZREM", KEYS[2], ARGV[1])
local state, msg = unpack(redis.call("HMGET", key, "state", "msg"))
if state ~= "active" or not msg then return 0 end
redis.call("RPUSH", KEYS[3], ARGV[1])
redis.call("HSET", key, "state", "pending", "pending_since", ARGV[3])
return 1
`)

func (r *Redis) revive(ctx context.Context, queue, id, score string) (revived bool, err error) {
	keys := []string{Key(queue, "active"), Key(queue, "lease"), Key(queue, "pending")}
	n, err := reviveScript.Run(ctx, r.Client, keys, id, score, time.Now().UnixNano(), Key(queue, "t:")).Int()
	return n == 1, err
}

// seenLease is what a watcher saw of a task in flight.
type seenLease struct {
	score string // "" for none
	since time.Time
}

// ReviveAbandoned puts the tasks of killed workers back on the queues of some logs until ctx ends:
// those in flight whose lease has not changed for abandonedAfter, or that have none. Any number may
// do so at once; leases has the argument.
func (r *Redis) ReviveAbandoned(ctx context.Context, namespaces []string, log zerolog.Logger) {
	var queues []string
	for _, namespace := range namespaces {
		for _, class := range Classes {
			queues = append(queues, Name(namespace, class))
		}
	}
	var group sync.WaitGroup // a queue whose node of Redis does not answer delays no other
	for _, queue := range queues {
		group.Go(func() { r.reviveAbandonedOf(ctx, queue, log) })
	}
	group.Wait()
}

func (r *Redis) reviveAbandonedOf(ctx context.Context, queue string, log zerolog.Logger) {
	var seen map[string]seenLease
	for wait.For(ctx, lookEvery) == nil {
		now, err := r.inFlight(ctx, queue, seen)
		if err != nil {
			continue // what was seen before is still true
		}
		seen = now
		back := 0
		for id, one := range now {
			if time.Since(one.since) < abandonedAfter {
				continue
			}
			if revived, err := r.revive(ctx, queue, id, one.score); err == nil && revived {
				back++
			}
		}
		if back > 0 {
			log.Warn().Str("queue", queue).Int("epochs", back).Msg("a worker was killed or cut off: its epochs are on the queue again")
		}
	}
}

// inFlight returns the tasks in flight, each with since when its lease is as it is, given what was
// seen before.
func (r *Redis) inFlight(ctx context.Context, queue string, before map[string]seenLease) (map[string]seenLease, error) {
	pipe := r.Client.Pipeline()
	active := pipe.LRange(ctx, Key(queue, "active"), 0, maxInFlight-1)
	leases := pipe.ZRangeWithScores(ctx, Key(queue, "lease"), 0, maxInFlight-1)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("redis at %s: %w", r, err)
	}
	now, scores := time.Now(), map[string]string{}
	for _, z := range leases.Val() {
		id, _ := z.Member.(string)
		scores[id] = strconv.FormatFloat(z.Score, 'f', -1, 64)
	}
	all := make(map[string]seenLease, len(active.Val()))
	for _, id := range active.Val() {
		one := seenLease{scores[id], now}
		if known, again := before[id]; again && known.score == one.score {
			one = known
		}
		all[id] = one
	}
	return all, nil
}
