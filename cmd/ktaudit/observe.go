package main

import (
	"cmp"
	"context"

	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/lanes"
	"github.com/ktaudit/ktaudit/internal/metrics"
	"github.com/ktaudit/ktaudit/internal/tracing"
	"github.com/ktaudit/ktaudit/jobs"
)

// listenFlag is where a command that works for a while tells how it is doing.
type listenFlag struct {
	Listen string `group:"output" placeholder:"ADDRESS" help:"Address to serve /metrics, /healthz and /readyz on, such as 127.0.0.1:9464. By default none."`
}

// observe measures what the auditors do from now on, where the flag or the configuration asks for it, and traces it where the
// environment does. The caller calls stop before it closes what the auditors work with. Neither metrics nor traces that
// cannot be had any more are a reason for an auditor to fail.
func (f listenFlag) observe(ctx context.Context, a *app, settings *config.Config, redis *jobs.Redis, auditors []*jobs.Auditor) (stop func(), err error) {
	b := buildInfo()
	tracer, err := tracing.Start(ctx, b.Version, a.log)
	if err != nil {
		return nil, err
	}
	listen := cmp.Or(f.Listen, settings.Listen)
	if listen == "" && tracer == nil {
		return func() {}, nil
	}
	var namespaces []string
	for _, auditor := range auditors {
		namespaces = append(namespaces, auditor.Namespace)
	}
	m := metrics.New(metrics.Options{
		Namespaces: namespaces, Version: b.Version, Commit: b.Commit, GoVersion: b.Go, HashPath: lanes.Path(), Tracer: tracer,
	})
	for _, auditor := range auditors {
		auditor.Metrics = m
		if n, ok := settings.Find(auditor.Namespace); ok {
			m.SetThresholds(auditor.Namespace, metrics.Thresholds{Silent: n.SilentAfter, Backlog: n.BacklogAge})
		}
	}
	budget, store := auditors[0].Budget, auditors[0].Store // which all have in common
	m.WatchMemory(budget.Size(), budget.Reserved)
	m.WatchQueues(func(ctx context.Context) (metrics.Queues, error) { return redis.ReadQueues(ctx, namespaces) })
	m.WatchDependency("redis", redis.Ping)
	m.WatchDependency("audit_store", store.Ping)

	var server *metrics.Server
	if listen != "" {
		server, err = m.Serve(ctx, listen, a.log)
	}
	stop = func() {
		if err := server.Close(); err != nil {
			a.log.Warn().Err(err).Msg("closing the metrics")
		}
		if err := tracer.Close(); err != nil {
			a.log.Warn().Err(err).Msg("the last traces were not sent")
		}
	}
	if err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}
