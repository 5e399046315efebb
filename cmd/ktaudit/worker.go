package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/jobs"
)

type workerCmd struct {
	configFlags
	auditFlags
	queueFlags
	listenFlag
	First uint64 `group:"log" placeholder:"EPOCH" help:"Epoch the audit starts at: the signed digest of the one before it is not waited for. By default 1."`
}

func (workerCmd) Help() string {
	return `Runs until SIGTERM or Ctrl-C; then it finishes the epochs it is at, or hands them back, and exits with 0. Start as many
workers as you like, on any number of machines. With a configuration file it audits all logs in it, or one of them.

Examples:
  ktaudit worker --config ktaudit.yaml
  ktaudit worker --namespace example --redis redis://localhost:6379/0 --log-directory ./log --audit-store ./audit
  ktaudit worker --namespace example --redis redis://localhost:6379/0 --log-directory "s3://log?region=us-east-1" \
    --audit-store "s3://audit?region=us-east-1" --verifying-key b7f8… --signatures "s3://signatures?region=us-east-1"`
}

// Run works until ctx ends.
func (c workerCmd) Run(ctx context.Context, a *app) (err error) {
	settings, err := c.load()
	if err != nil {
		return err
	}
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	auditors, err := c.auditors(ctx, a, settings, &open)
	if err != nil {
		return err
	}
	c.queueFlags.fill(settings)
	redis, err := c.connectShared(ctx, a)
	if err != nil {
		return err
	}
	defer redis.Close()
	stop, err := c.observe(ctx, a, settings, redis, auditors)
	if err != nil {
		return err
	}
	defer stop()
	worker, err := jobs.NewWorker(redis, auditors, c.worker(), a.log)
	if err != nil {
		return err
	}
	return worker.Run(ctx)
}

// auditors opens an auditor for each log that the worker is for.
func (c *workerCmd) auditors(ctx context.Context, a *app, settings *config.Config, open *closers) ([]*jobs.Auditor, error) {
	namespaces, err := c.choose(settings, c.Namespace)
	if err != nil {
		return nil, err
	}
	given := c.ofOneLog()
	if c.First != 0 {
		given = append(given, "--first")
	}
	if len(namespaces) > 1 && len(given) > 0 {
		return nil, fmt.Errorf("%s: for one log, but %s has several: choose one of them with --namespace: %s",
			strings.Join(given, ", "), c.Config, strings.Join(namesOf(settings), ", "))
	}
	flags := c.auditFlags
	c.auditFlags.fill(settings, namespaces[0]) // for what all have in common
	budget := jobs.NewBudget(int64(c.Memory))
	var auditors []*jobs.Auditor
	for _, n := range namespaces {
		f := flags
		f.fill(settings, n)
		if err := f.complete("worker"); err != nil {
			return nil, err
		}
		opened, err := f.open(ctx, a, cmp.Or(c.First, n.First), budget)
		if err != nil {
			if len(namespaces) > 1 {
				err = fmt.Errorf("%s: %w", n.Namespace, err)
			}
			return nil, err
		}
		open.add(opened.close)
		auditors = append(auditors, opened.auditor)
	}
	return auditors, nil
}
