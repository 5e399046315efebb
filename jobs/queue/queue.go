package queue

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/ktaudit/ktaudit/verdict/epochset"
	"github.com/redis/go-redis/v9"
)

// This file reads asynq's own keys where its Inspector has no answer: which task IDs are really on
// a queue, as opposed to blocked by the remains of a task that Redis lost half of. It writes none
// of them.

const (
	// scanPage is how many IDs are read at once.
	scanPage = 10_000
	// leaseGrace is how long after its end a lease is still believed in. A worker renews a lease of
	// 30 s every 5 s, so this only has to cover clocks that differ. asynq's own recoverer takes 30
	// s and looks once a minute.
	leaseGrace = 5 * time.Second
	// scanGrace is how much older than a scan a task must be to have to be in it, for the same
	// reason.
	scanGrace = time.Minute
	// leaseLimit and pauseLimit are further ahead than a lease and a pause can end, by clocks that
	// differ by minutes: a lease is for 30 s, and retryDelay of jobs/worker never gives more than
	// its MaxRetryDelay and a quarter of it. What reaches further was written by a clock that was
	// wrong, and would block its epoch until that time has really come.
	leaseLimit = 5 * time.Minute
	pauseLimit = 15 * time.Minute
)

func Key(queue, what string) string { return "asynq:{" + queue + "}:" + what }

// ReadQueued adds to set the epochs whose tasks wait, run or rest on the queue. Archived ones are
// not among them, and neither are running ones whose worker has stopped renewing their lease, nor
// what a clock that was wrong has put off for too long.
func ReadQueued(ctx context.Context, client redis.UniversalClient, namespace, queue string, set *epochset.Set) error {
	add := func(ids []string) {
		for _, id := range ids {
			if epoch, ok := EpochOfID(namespace, id); ok {
				set.Add(epoch)
			}
		}
	}
	// Tasks join the list on the left and leave on the right, so reading from the left misses none
	// that stays.
	pages := []func(start int64) ([]string, error){
		func(start int64) ([]string, error) {
			return client.LRange(ctx, Key(queue, "pending"), start, start+scanPage-1).Result()
		},
	}
	now := time.Now()
	for _, set := range []struct {
		state          string
		earliest, last time.Time
	}{
		{"scheduled", time.Unix(0, 0), now.Add(pauseLimit)},
		{"retry", time.Unix(0, 0), now.Add(pauseLimit)},
		{"lease", now.Add(-leaseGrace), now.Add(leaseLimit)},
	} {
		scores := redis.ZRangeBy{Min: strconv.FormatInt(set.earliest.Unix(), 10), Max: strconv.FormatInt(set.last.Unix(), 10), Count: scanPage}
		pages = append(pages, func(start int64) ([]string, error) {
			scores.Offset = start
			return client.ZRangeByScore(ctx, Key(queue, set.state), &scores).Result()
		})
	}
	for _, page := range pages {
		for start := int64(0); ; start += scanPage {
			ids, err := page(start)
			if err != nil {
				return fmt.Errorf("reading queue %s: %w", queue, err)
			}
			add(ids)
			if len(ids) < scanPage {
				break
			}
		}
	}
	return nil
}

// A task ID that cannot be enqueued is held by a task in one of these conditions.
const (
	taskAlive    = "alive"    // on the queue, and will be run
	taskGone     = "gone"     // no longer there
	taskFinished = "finished" // archived or completed: may be deleted
	taskPutOff   = "put off"  // waits for a time too far away: may be run now
	// claims a state, but is in no list of that state: blocked for ever, or for too long
	taskDead = "dead"
)

// conditionScript finds a task's condition in one step, so that the task cannot change lists
// meanwhile. A pending task that joined after ARGV[2] (Unix nanoseconds) is believed without a
// search through the list.
//
// KEYS: task, pending, lease, scheduled, retry, archived, completed. ARGV: task ID, that time,
// earliest and last good lease and last good end of a pause (Unix seconds)
var conditionScript = redis.NewScript(`
local state, since, msg = unpack(redis.call("HMGET", KEYS[1], "state", "pending_since", "msg"))
if not state then
	if redis.call("EXISTS", KEYS[1]) == 1 then return "dead" end
	return "gone"
end
local lists = {scheduled = KEYS[4], retry = KEYS[5], archived = KEYS[6], completed = KEYS[7]}
if lists[state] then
	local score = redis.call("ZSCORE", lists[state], ARGV[1])
	if not score then return "dead" end
	if state == "archived" or state == "completed" then return "finished" end
	if tonumber(score) > tonumber(ARGV[5]) then return "put off" end
elseif state == "active" then
	local lease = redis.call("ZSCORE", KEYS[3], ARGV[1])
	if not lease or tonumber(lease) < tonumber(ARGV[3]) or tonumber(lease) > tonumber(ARGV[4]) then return "dead" end
elseif state == "pending" then
	if not (since and tonumber(since) >= tonumber(ARGV[2])) and not redis.call("LPOS", KEYS[2], ARGV[1]) then
		return "dead"
	end
else
	return "dead"
end
if not msg then return "dead" end
return "alive"
`)

// condition says what holds the task ID, given when the queue was last read by ReadQueued.
func condition(ctx context.Context, client redis.UniversalClient, queue, id string, scanned time.Time) (string, error) {
	keys := []string{Key(queue, "t:"+id)}
	for _, what := range []string{"pending", "lease", "scheduled", "retry", "archived", "completed"} {
		keys = append(keys, Key(queue, what))
	}
	now := time.Now()
	answer, err := conditionScript.Run(ctx, client, keys, id, scanned.Add(-scanGrace).UnixNano(),
		now.Add(-leaseGrace).Unix(), now.Add(leaseLimit).Unix(), now.Add(pauseLimit).Unix()).Text()
	if err != nil {
		return "", fmt.Errorf("state of task %s: %w", id, err)
	}
	return answer, nil
}
