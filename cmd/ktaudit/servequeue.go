package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/redisurl"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/redisclient"
	"github.com/rs/zerolog"
)

const (
	// maxSignedWaiting is how many signed epochs wait to be put on the queue.
	maxSignedWaiting = 1000
	// enqueueTimeout bounds an exchange with Redis, and reconnectEvery how often one that was not
	// reached is tried again.
	enqueueTimeout, reconnectEvery = 5 * time.Second, 10 * time.Second
)

// signedQueue puts signed epochs on the queue, apart from who signs them. What it cannot put there
// is left to the schedulers, which find the epoch in the log directory.
type signedQueue struct {
	access  redisclient.Access // without a URL: there is no queue
	first   map[string]uint64
	log     zerolog.Logger
	dropped func(namespace string)

	waiting chan signedEpoch
	ended   chan struct{} // nobody waits for what is added any more

	redis  *queue.Redis
	failed time.Time // when Redis was not reached
	silent bool      // that it fails is said
}

type signedEpoch struct {
	namespace string
	epoch     uint64
}

// newSignedQueue does not connect: without its Redis the API works as well.
func newSignedQueue(f queueFlags, namespaces []config.Namespace, a *app) (*signedQueue, error) {
	q := &signedQueue{first: map[string]uint64{}, log: a.log, waiting: make(chan signedEpoch, maxSignedWaiting), ended: make(chan struct{})}
	for _, n := range namespaces {
		q.first[n.Namespace] = n.First
	}
	if f.Redis == "" || f.Redis == queue.Embedded {
		a.log.Info().Msg("there is no Redis to put signed epochs on the queue of: schedulers find them")
		return q, nil
	}
	if _, err := redisurl.Parse(f.Redis); err != nil {
		return nil, fmt.Errorf("%s: %w", cmp.Or(f.at, "--redis"), redisurl.Explain(f.Redis))
	}
	var err error
	q.access, err = f.access(a.log)
	return q, err
}

// add never blocks. What is not audited here is passed over.
func (q *signedQueue) add(namespace string, epoch uint64) {
	first, audited := q.first[namespace]
	if q.access.URL == "" || !audited || epoch < first {
		return
	}
	select {
	case q.waiting <- signedEpoch{namespace, epoch}:
	default:
		q.dropped(namespace)
	}
}

// close ends run once all that waits has been tried.
func (q *signedQueue) close() { close(q.ended) }

func (q *signedQueue) run() {
	for {
		select {
		case s := <-q.waiting:
			q.try(s)
			continue
		default:
		}
		select {
		case s := <-q.waiting:
			q.try(s)
		case <-q.ended:
			if q.redis != nil {
				_ = q.redis.Close()
			}
			return
		}
	}
}

// try puts an epoch on the queue, and says once that it cannot.
func (q *signedQueue) try(s signedEpoch) {
	err := q.enqueue(s)
	switch {
	case err != nil:
		q.dropped(s.namespace)
		if !q.silent {
			q.silent = true
			q.log.Warn().Err(err).Str("namespace", s.namespace).Uint64("epoch", s.epoch).
				Msg("signed epochs are not put on the queue: schedulers find them, later")
		}
	case q.silent:
		q.silent = false
		q.log.Info().Msg("signed epochs are put on the queue again")
	}
}

func (q *signedQueue) enqueue(s signedEpoch) error {
	ctx, cancel := context.WithTimeout(context.Background(), enqueueTimeout)
	defer cancel()
	if !q.failed.IsZero() && time.Since(q.failed) < reconnectEvery {
		return fmt.Errorf("redis was not reached %s ago", time.Since(q.failed).Round(time.Second))
	}
	err := q.connect(ctx)
	if err == nil {
		e := queue.Enqueuer{Redis: q.redis, Namespace: s.namespace, Class: queue.Fresh}
		_, err = e.Enqueue(ctx, s.epoch, s.epoch, nil)
	}
	q.failed = time.Time{}
	if err != nil {
		q.failed = time.Now()
	}
	return err
}

func (q *signedQueue) connect(ctx context.Context) (err error) {
	if q.redis == nil {
		q.redis, err = queue.Open(ctx, q.access, q.log)
	}
	return err
}
