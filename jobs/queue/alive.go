package queue

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"time"

	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/redis/go-redis/v9"
)

// Workers are known to asynq, which forgets one that was killed within ten seconds. Schedulers only
// put tasks on the queue, so they say here that they are alive, in a sorted set for each log, of
// names that mean nothing, each with the time up to which it counts. All times are by the clock of
// Redis. The keys begin as asynq's do, for a user of Redis may be limited to these.

const (
	announceEvery = 5 * time.Second
	aliveFor      = 3 * announceEvery
)

func schedulersKey(namespace string) string { return "asynq:ktaudit:{" + namespace + "}:schedulers" }

// AnnounceScheduler says that a scheduler of some logs is alive, until ctx ends; then it takes that
// back. That Redis does not answer is no error: then nobody can ask, either.
func (r *Redis) AnnounceScheduler(ctx context.Context, namespaces []string) {
	name := rand.Text()
	for ctx.Err() == nil {
		for _, namespace := range namespaces {
			_ = r.announce(ctx, namespace, name)
		}
		_ = wait.For(ctx, announceEvery)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	for _, namespace := range namespaces {
		_ = r.Client.ZRem(last, schedulersKey(namespace), name).Err()
	}
}

// announce says once that a scheduler is alive, and forgets those that are not.
func (r *Redis) announce(ctx context.Context, namespace, name string) error {
	now, err := r.Client.Time(ctx).Result()
	if err != nil {
		return err
	}
	key := schedulersKey(namespace)
	// On its own, so that a full Redis takes it: see hook.
	if err := r.Client.ZAdd(ctx, key, redis.Z{Score: float64(now.Add(aliveFor).UnixMilli()), Member: name}).Err(); err != nil {
		return err
	}
	pipe := r.Client.Pipeline()
	pipe.ZRemRangeByScore(ctx, key, "-inf", strconv.FormatInt(now.UnixMilli(), 10))
	pipe.Expire(ctx, key, 2*aliveFor)
	_, err = pipe.Exec(ctx)
	return err
}

// LiveSchedulers returns how many schedulers of a log are alive. One that was killed counts for 15
// seconds more.
func (r *Redis) LiveSchedulers(ctx context.Context, namespace string) (int, error) {
	now, err := r.Client.Time(ctx).Result()
	if err != nil {
		return 0, fmt.Errorf("redis at %s: %w", r, err)
	}
	alive, err := r.Client.ZCount(ctx, schedulersKey(namespace), strconv.FormatInt(now.UnixMilli(), 10), "+inf").Result()
	if err != nil {
		return 0, fmt.Errorf("redis at %s: %w", r, err)
	}
	return int(alive), nil
}
