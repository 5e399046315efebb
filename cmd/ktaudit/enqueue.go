package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/report"
)

// maxEnqueued is several times what any log has published, and takes some 3 GB of Redis. A larger
// number is most likely a typing mistake.
const maxEnqueued = 10_000_000

type enqueueCmd struct {
	queuedFlags
	rangeFlags
	Window uint64 `group:"queue" placeholder:"EPOCHS" help:"Maximum number of epochs of the range on the queue at the same time; the next run continues from there. By default the whole range."`
	Fresh  bool   `group:"queue" help:"Put the epochs ahead of epochs enqueued without this flag."`
}

func (enqueueCmd) Help() string {
	return `Adds one task to the queue for each epoch of the range that has no verdict and no task yet. You can run it again at any
time; do so after Redis has lost its data. With --window each run only refills what the workers have finished since the last
one, so that a cron job can audit millions of epochs with a small Redis. An epoch that the log never published keeps its
place in the window; a scheduler would skip it.

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
		return fmt.Errorf("--from %d --to %d: %d epochs at once are too many, since Redis needs some 300 bytes for each: enqueue at most %d, or give a --window",
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
		return &unfinishedError{err, fmt.Sprintf("after %d of %d epochs; run the same command again to continue", counts.Total(), c.To-c.From+1)}
	}
	if a.json {
		return a.object(counts)
	}
	a.printf("%-16s %d\n", "enqueued", counts.Enqueued)
	a.printf("%-16s %d\n", "already queued", counts.AlreadyQueued)
	a.printf("%-16s %d\n", "have a verdict", counts.AlreadyJudged)
	if counts.Revived > 0 {
		a.printf("%-16s %d\n", "revived", counts.Revived)
	}
	if counts.Next > 0 {
		a.printf("%-16s %d to %d: run enqueue again when workers have made room in the window\n", "not yet", counts.Next, c.To)
	}
	return nil
}
