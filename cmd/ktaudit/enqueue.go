package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ktaudit/ktaudit/jobs"
)

// maxEnqueued is several times what any log has published, and takes some 3 GB of Redis. Whoever asks for more has mistyped.
const maxEnqueued = 10_000_000

type enqueueCmd struct {
	queuedFlags
	rangeFlags
	Fresh bool `group:"queue" help:"Put the epochs ahead of those enqueued without this flag."`
}

func (enqueueCmd) Help() string {
	return `Puts one task for each epoch of the range on the queue, except for epochs that are on it or have a verdict. It may be
run again at any time, and should be when Redis has lost its data.

Examples:
  ktaudit enqueue --config ktaudit.yaml --namespace example --from 1 --to 1000000
  ktaudit enqueue --namespace example --redis redis://localhost:6379/0 --audit-store ./audit --from 1 --to 1000000
  KTAUDIT_REDIS=redis://localhost:6379/0 ktaudit enqueue --namespace example --audit-store ./audit --from 7 --to 7`
}

// Run enqueues the range.
func (c enqueueCmd) Run(ctx context.Context, a *app) (err error) {
	namespace, err := c.log("enqueue")
	if err != nil {
		return err
	}
	c.rangeFlags.fill(namespace)
	if err := c.check(); err != nil {
		return err
	}
	if n := c.To - c.From + 1; n > maxEnqueued {
		return fmt.Errorf("--from %d --to %d: %d epochs, and Redis takes some 300 bytes for each: enqueue at most %d at once",
			c.From, c.To, n, maxEnqueued)
	}
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	store, redis, err := c.open(ctx, a, &open)
	if err != nil {
		return err
	}
	enqueuer := jobs.Enqueuer{Redis: redis, Namespace: namespace.Namespace, Class: jobs.Backfill, Store: store}
	if c.Fresh {
		enqueuer.Class = jobs.Fresh
	}
	a.bars.start("enqueuing", c.To-c.From+1)
	defer a.bars.finish()
	counts, err := enqueuer.Enqueue(ctx, c.From, c.To, func(s jobs.Counts) { a.bars.set(s.Total()) })
	a.bars.finish()
	if err != nil {
		return &unfinishedError{err, fmt.Sprintf("after %d of %d epochs; the same command goes on", counts.Total(), c.To-c.From+1)}
	}
	if a.json {
		return a.object(counts)
	}
	a.printf("%-16s %d\n", "enqueued", counts.Enqueued)
	a.printf("%-16s %d\n", "already queued", counts.AlreadyQueued)
	a.printf("%-16s %d\n", "already judged", counts.AlreadyJudged)
	if counts.Revived > 0 {
		a.printf("%-16s %d\n", "revived", counts.Revived)
	}
	return nil
}
