package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/report"
)

// maxEnqueued is several times what any log has published, and takes some 3 GB of Redis. Whoever asks for more has mistyped.
const maxEnqueued = 10_000_000

type enqueueCmd struct {
	queuedFlags
	rangeFlags
	Window uint64 `group:"queue" placeholder:"EPOCHS" help:"How many epochs of the range may be on the queue at once; the next run goes on from there. By default all of them."`
	Fresh  bool   `group:"queue" help:"Put the epochs ahead of those enqueued without this flag."`
}

func (enqueueCmd) Help() string {
	return `Puts one task for each epoch of the range on the queue, except for epochs that are on it or have a verdict. It may be
run again at any time, and should be when Redis has lost its data. With --window it adds no more than the workers have done since
it last ran, so that cron brings millions of epochs to an end with a small Redis. An epoch that the log never published keeps its
place in the window; a scheduler would pass it over.

Examples:
  ktaudit enqueue --config ktaudit.yaml --namespace example --from 1 --to 1000000
  ktaudit enqueue --namespace example --redis redis://localhost:6379/0 --audit-store ./audit --from 1 --to 1000000
  ktaudit enqueue --config ktaudit.yaml --namespace example --from 1 --to 1000000 --window 10000
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
	epochs := c.To - c.From + 1
	if c.Window > 0 {
		epochs = min(epochs, c.Window)
	}
	if epochs > maxEnqueued {
		return fmt.Errorf("--from %d --to %d: %d epochs at once, and Redis takes some 300 bytes for each: enqueue at most %d, or give a --window",
			c.From, c.To, epochs, maxEnqueued)
	}
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	store, redis, err := c.open(ctx, a, &open)
	if err != nil {
		return err
	}
	enqueuer := queue.Enqueuer{Redis: redis, Namespace: namespace.Namespace, Class: queue.Backfill, Window: c.Window,
		Judged: func(ctx context.Context, from, to uint64, visit func(from, to uint64) error) error {
			return report.JudgedRuns(ctx, store, namespace.Namespace, from, to, visit)
		},
	}
	if c.Fresh {
		enqueuer.Class = queue.Fresh
	}
	a.bars.start("enqueuing", c.To-c.From+1)
	defer a.bars.finish()
	counts, err := enqueuer.Enqueue(ctx, c.From, c.To, func(s queue.EnqueueCounts) { a.bars.set(s.Total()) })
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
	if counts.Next > 0 {
		a.printf("%-16s %d to %d, when there is room in the window\n", "later", counts.Next, c.To)
	}
	return nil
}
