package queue

import (
	"context"
	"time"

	"github.com/hibiken/asynq"
	"github.com/ktaudit/ktaudit/jobs/redisclient"
	"github.com/rs/zerolog"
)

// probeKept is how long the key of a probe stays.
const probeKept = time.Minute

// Redis is the Redis that holds the queues.
type Redis struct {
	*redisclient.Connection
	leases  leases
	noFresh lastEmpty
}

// Connect connects to the Redis of a URL.
func Connect(ctx context.Context, url string, log zerolog.Logger) (*Redis, error) {
	return Open(ctx, redisclient.Access{URL: url}, log)
}

// Open connects to a Redis.
func Open(ctx context.Context, access redisclient.Access, log zerolog.Logger) (*Redis, error) {
	c, err := access.Connect(ctx, log)
	if err != nil {
		return nil, err
	}
	r := &Redis{Connection: c}
	r.Client.AddHook(hook{&r.leases, &r.noFresh})
	return r, nil
}

// IsShared tells that other processes may use the queue, too.
func (r *Redis) IsShared() bool { return true }

func (r *Redis) Inspector() *asynq.Inspector { return asynq.NewInspectorFromRedisClient(r.Client) }

// Probe returns nil if the queues of some logs can be written: a key of each, so that a cluster's
// node that has them is the one asked.
func (r *Redis) Probe(ctx context.Context, namespaces ...string) error {
	pipe := r.Client.Pipeline()
	for _, namespace := range namespaces {
		for _, class := range Classes {
			pipe.Set(ctx, Key(Name(namespace, class), "probe"), 1, probeKept)
		}
	}
	_, err := pipe.Exec(ctx)
	return r.Explain(err)
}
