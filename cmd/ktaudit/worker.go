package main

import (
	"context"
	"errors"

	"github.com/ktaudit/ktaudit/jobs"
)

type workerCmd struct {
	auditFlags
	queueFlags
	First uint64 `group:"log" placeholder:"EPOCH" help:"Epoch the audit starts at: the signed digest of the one before it is not waited for. By default 1."`
}

func (workerCmd) Help() string {
	return `Runs until SIGTERM or Ctrl-C; then it finishes the epochs it is at, or hands them back, and exits with 0. Start as many
workers as you like, on any number of machines.

Examples:
  ktaudit worker --namespace example --redis redis://localhost:6379/0 --log-directory ./log --audit-store ./audit
  ktaudit worker --namespace example --redis redis://localhost:6379/0 --log-directory "s3://log?region=us-east-1" \
    --audit-store "s3://audit?region=us-east-1" --verifying-key b7f8… --signatures "s3://signatures?region=us-east-1"`
}

// Run works until ctx ends.
func (c workerCmd) Run(ctx context.Context, a *app) (err error) {
	opened, err := c.open(ctx, a, c.First)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.close()) }()
	redis, err := c.connectShared(ctx, a)
	if err != nil {
		return err
	}
	defer redis.Close()
	worker, err := jobs.NewWorker(redis, []*jobs.Auditor{opened.auditor}, c.worker(), a.log)
	if err != nil {
		return err
	}
	return worker.Run(ctx)
}
