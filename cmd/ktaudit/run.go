package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/jobs"
)

type runCmd struct {
	configFlags
	auditFlags
	rangeFlags
	queueFlags
	listenFlag
	Wait time.Duration `group:"limits" default:"0s" placeholder:"DURATION" help:"How long to wait for epochs that are not published or not signed yet."`
}

func (runCmd) Help() string {
	return `Does what enqueue and worker do, for one range, and ends when every epoch has a verdict. Needs no Redis of its own.
Killed at any moment, the same command goes on where it was.

Examples:
  ktaudit run --namespace example --log-directory ./log --audit-store ./audit --from 1 --to 50
  ktaudit run --preset whatsapp-v2 --audit-store ./audit --from 2500001 --to 2500100
  ktaudit run --namespace example --log-directory "s3://log?region=us-east-1" \
    --audit-store "s3://audit?region=us-east-1" --from 1 --to 100000`
}

// Run audits the range and prints its status.
func (c runCmd) Run(ctx context.Context, a *app) (err error) {
	settings, namespace, err := c.loadOne(c.Namespace)
	if err != nil {
		return err
	}
	c.auditFlags.fill(settings, namespace)
	c.rangeFlags.fill(namespace)
	c.queueFlags.fill(settings)
	if err := c.complete("run"); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	opened, err := c.open(ctx, a, c.From, jobs.NewBudget(int64(c.Memory)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.close()) }()
	if c.Redis == "" {
		c.Redis = jobs.Embedded
	}
	redis, err := c.connect(ctx, a)
	if err != nil {
		return err
	}
	defer redis.Close()
	stop, err := c.observe(ctx, a, settings, redis, []*jobs.Auditor{opened.auditor})
	if err != nil {
		return err
	}
	defer stop()
	status, err := runRange(ctx, a, redis, opened, jobs.RunConfig{
		From: c.From, To: c.To, NotPublishedWait: c.Wait, Worker: c.worker(),
	})
	if err != nil {
		return err
	}
	return a.report(status, nextSteps{logDirectory: c.LogDirectory, store: c.AuditStore})
}

// runRange audits a range under a progress bar and returns its status.
func runRange(ctx context.Context, a *app, redis *jobs.Redis, opened *audit, c jobs.RunConfig) (jobs.Status, error) {
	a.bars.start("auditing", c.To-c.From+1)
	defer a.bars.finish()
	c.Progress = func(s jobs.RunSummary) { a.bars.set(s.Settled()) }
	summary, err := jobs.Run(ctx, redis, opened.auditor, c)
	if err != nil {
		return jobs.Status{}, err
	}
	a.bars.finish()
	if summary.Failed > 0 {
		return jobs.Status{}, fmt.Errorf("%d of %d epochs could not be judged because of faults, which --log-level warn shows; the same command tries them again",
			summary.Failed, summary.Total)
	}
	return jobs.ReadStatus(ctx, opened.store, opened.auditor.Namespace, c.From, c.To, nil)
}
