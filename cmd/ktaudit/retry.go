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
	Epochs []uint64 `arg:"" optional:"" name:"epoch" help:"Epochs to retry."`
	All    bool     `group:"queue" help:"Retry every epoch that waits for its next attempt or was given up."`
}

func (retryCmd) Help() string {
	return `After a fault, an epoch waits up to ten minutes for its next attempt. Once the fault is fixed, this command retries such
epochs now, and also those that were given up. Epochs with a verdict are left alone: ktaudit overrule judges one anew. You can run it at
any time. Exits with 1 if an epoch has no verdict and is not on the queue; use enqueue for it.

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
	if c.All && len(c.Epochs) > 0 {
		return errors.New("--all and epochs cannot be given together: give the epochs' numbers, or --all for every one")
	}
	if !c.All && len(c.Epochs) == 0 {
		return errors.New("no epochs given: give their numbers, or --all")
	}
	return checkEpochs(c.Epochs)
}

// checkEpochs refuses numbers that no epoch has.
func checkEpochs(epochs []uint64) error {
	for _, epoch := range epochs {
		if epoch == 0 || epoch > verdict.MaxEpoch {
			return fmt.Errorf("epoch %d is out of range: epochs go from 1 to %d", epoch, uint64(verdict.MaxEpoch))
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
		a.printf("%-16s %d\n", "retrying now", counts.Retried)
		a.printf("%-16s %d\n", "already queued", counts.AlreadyQueued)
		a.printf("%-16s %d\n", "have a verdict", counts.AlreadyJudged)
		if counts.NotQueued > 0 {
			a.printf("%-16s %d: add them with enqueue\n", "not on the queue", counts.NotQueued)
		}
	}
	if counts.NotQueued > 0 {
		return errFound
	}
	return nil
}
