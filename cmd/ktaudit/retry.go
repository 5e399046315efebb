package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
)

type retryCmd struct {
	queuedFlags
	Epochs []uint64 `arg:"" optional:"" name:"epoch" help:"Epochs to try again."`
	All    bool     `group:"queue" help:"Try all epochs again that wait for it."`
}

func (retryCmd) Help() string {
	return `After a fault, an epoch waits for its next attempt up to ten minutes. When the fault is mended, this puts it in line now,
like the epochs that were given up. What has a verdict is left alone: rejections are never tried again. It may be run at
any time. Exits with 1 if an epoch has no verdict and is not on the queue; enqueue puts it there.

Examples:
  ktaudit retry --config ktaudit.yaml --namespace example --all
  ktaudit retry --namespace example --redis redis://localhost:6379/0 --audit-store ./audit 17 25`
}

// Run puts the epochs in line.
func (c retryCmd) Run(ctx context.Context, a *app) (err error) {
	namespace, err := c.log("retry")
	if err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	store, redis, err := c.open(ctx, a, &open)
	if err != nil {
		return err
	}
	counts, err := queue.Retry(ctx, redis, namespace.Namespace, c.Epochs, func(ctx context.Context, epoch uint64) (bool, error) {
		return report.IsJudged(ctx, store, namespace.Namespace, epoch)
	})
	if err != nil {
		return err
	}
	return a.retried(counts)
}

func (c retryCmd) check() error {
	if c.All == (len(c.Epochs) > 0) {
		return errors.New("which epochs? Give their numbers, or --all")
	}
	return checkEpochs(c.Epochs)
}

// checkEpochs refuses numbers that no epoch has.
func checkEpochs(epochs []uint64) error {
	for _, epoch := range epochs {
		if epoch == 0 || epoch > verdict.MaxEpoch {
			return fmt.Errorf("epoch %d: epochs go from 1 to %d", epoch, uint64(verdict.MaxEpoch))
		}
	}
	return nil
}

func (a *app) retried(counts queue.RetryCounts) error {
	if a.json {
		if err := a.object(counts); err != nil {
			return err
		}
	} else {
		a.printf("%-16s %d\n", "in line now", counts.Retried)
		a.printf("%-16s %d\n", "already queued", counts.AlreadyQueued)
		a.printf("%-16s %d\n", "already judged", counts.AlreadyJudged)
		if counts.NotQueued > 0 {
			a.printf("%-16s %d, which enqueue puts there\n", "not on the queue", counts.NotQueued)
		}
	}
	if counts.NotQueued > 0 {
		return errFound
	}
	return nil
}
