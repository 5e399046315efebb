package main

import (
	"cmp"
	"context"
	"errors"

	"github.com/ktaudit/ktaudit/jobs/worker"
)

type workerCmd struct {
	configFlags
	auditFlags
	queueFlags
	listenFlag
	First uint64 `group:"log" placeholder:"EPOCH" help:"First epoch of the audit. The signed digest of the epoch before it is not required. By default ${default_first}."`
}

func (workerCmd) Help() string {
	return `Runs until SIGTERM or Ctrl-C. It then finishes the epochs in flight or returns them to the queue, and exits with 0. You can
start any number of workers on any number of machines. With a configuration file a worker audits all logs in it, or the
one given by --namespace.

Examples:
  ktaudit worker --config ktaudit.yaml
  ktaudit worker --namespace example --redis redis://localhost:6379/0 --log-directory ./log --audit-store ./audit
  ktaudit worker --namespace example --redis redis://localhost:6379/0 --log-directory "s3://log?region=us-east-1" \
    --audit-store "s3://audit?region=us-east-1" --verifying-key b7f8… --signatures "s3://signatures?region=us-east-1"`
}

// Run works until ctx ends.
func (c workerCmd) Run(ctx context.Context, a *app) (err error) {
	a.serve(ctx)
	settings, namespaces, err := c.loadAll(c.Namespace)
	if err != nil {
		return err
	}
	given := c.ofOneLog()
	if c.First != 0 {
		given = append(given, "--first")
	}
	if err := c.forOneLog(settings, namespaces, given); err != nil {
		return err
	}
	namespaces[0].First = cmp.Or(c.First, namespaces[0].First)
	c.fillCommon(settings)
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	auditors, err := c.openAll(ctx, a, "worker", settings, namespaces, &open)
	if err != nil {
		return err
	}
	c.queueFlags.fill(settings)
	redis, err := c.connectShared(ctx, a)
	if err != nil {
		return err
	}
	defer redis.Close()
	if err := c.use(ctx, a, redis, namesOf(namespaces)); err != nil {
		return err
	}
	by, err := c.observe(ctx, a, settings, observed{namespaces: namespaces, queue: redis, store: auditors[0].Store, auditors: auditors})
	if err != nil {
		return err
	}
	defer by.stop()
	worker, err := worker.New(redis, auditors, c.worker(), a.log)
	if err != nil {
		return err
	}
	by.metrics.WatchStalled(worker.Stalled)
	return worker.Run(ctx)
}
