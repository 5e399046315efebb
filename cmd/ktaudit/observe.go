package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/lanes"
	"github.com/ktaudit/ktaudit/internal/metrics"
	"github.com/ktaudit/ktaudit/internal/tracing"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/heartbeat"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/observe"
)

// listenFlag is where a command that runs for a while serves its metrics and health.
type listenFlag struct {
	Listen      string `group:"output" placeholder:"ADDRESS" help:"Address to serve /metrics, /healthz and /readyz on, such as 127.0.0.1:9464. By default they are not served."`
	DebugListen string `group:"output" placeholder:"ADDRESS" help:"Address to serve profiles (/debug/pprof/) and all metrics of Go's runtime on, such as 127.0.0.1:6060. Keep it on a loopback address. By default they are not served."`
}

// listenHint adds what to do where another process, often with the same file, has the address.
func listenHint(err error, flag string) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	return fmt.Errorf("%w: each process on a machine needs an address of its own: give this one another with %s, such as 127.0.0.1:0", err, flag)
}

// observed is what a command that runs for a while works with.
type observed struct {
	namespaces []config.Namespace
	queue      workList // nil if it needs none
	store      *auditstore.Store
	auditors   []*audit.Auditor // if it audits
	verdictLog *verdictLog      // nil if none is configured
	heartbeat  *heartbeat.Heartbeat
}

// observers measure what a command does. Each is nil unless asked for.
type observers struct {
	metrics *metrics.Metrics
	tracer  *tracing.Tracer
	stop    func() // before what is observed is closed
}

// jobMetrics returns the metrics for the rooms of jobs: a nil interface, not a nil pointer, if
// nothing is measured.
func (o observers) jobMetrics() observe.Metrics {
	if o.metrics == nil {
		return nil
	}
	return o.metrics
}

// jobTracer is jobMetrics for traces.
func (o observers) jobTracer() observe.Tracer {
	if o.tracer == nil {
		return nil
	}
	return o.tracer
}

// observe starts metrics if the flag or the configuration asks for them, and traces if the
// environment does. Once started, failing metrics or traces do not make a command fail.
func (f listenFlag) observe(ctx context.Context, a *app, settings *config.Config, o observed) (observers, error) {
	b := buildInfo()
	debug, err := f.serveDebug(ctx, a, settings)
	if err != nil {
		return observers{}, err
	}
	tracer, err := tracing.Start(ctx, b.Version, a.log)
	if err != nil {
		debug()
		return observers{}, err
	}
	listen := cmp.Or(f.Listen, settings.Listen)
	if listen == "" && tracer == nil {
		return observers{stop: debug}, nil
	}
	names := namesOf(o.namespaces)
	m := metrics.New(metrics.Options{
		Namespaces: names, Auditors: auditorsOf(o.namespaces), Witnesses: o.verdictLog.witnessIDs(), Version: b.Version, Commit: b.Commit, GoVersion: b.Go, HashPath: lanes.Path(), Tracer: tracer,
	})
	for _, n := range o.namespaces {
		m.SetThresholds(n.Namespace, metrics.Thresholds{
			Silent: n.SilentAfter, Backlog: n.BacklogAge, Chain: n.ChainEvery, StoreUnwritable: settings.StoreUnwritableAfter,
		})
	}
	for _, auditor := range o.auditors {
		auditor.Metrics = m
	}
	if len(o.auditors) > 0 {
		budget := o.auditors[0].Budget // which all have in common
		m.WatchMemory(budget.Size(), budget.Reserved)
	}
	m.WatchLostLogLines(a.lost)
	if o.queue != nil {
		m.WatchQueues(func(context.Context) (metrics.Queues, error) { return readQueues(o.queue, names) })
		m.WatchDependency("redis", func(ctx context.Context) error { return o.queue.Probe(ctx, names...) })
	}
	m.WatchDependency("audit_store", o.store.Ping)

	var server *metrics.Server
	if listen != "" {
		if server, err = m.Serve(ctx, listen, a.log); err != nil {
			err = fmt.Errorf("%s: %w", placeOr(f.Listen, "--listen", settings, "listen"), listenHint(err, "--listen"))
		}
	}
	stop := func() {
		debug()
		if err := server.Close(); err != nil {
			a.log.Warn().Err(err).Msg("the metrics server did not close cleanly")
		}
		if err := tracer.Close(); err != nil {
			a.log.Warn().Err(err).Msg("the last traces were not sent and are lost")
		}
	}
	if err != nil {
		stop()
		return observers{}, err
	}
	return observers{m, tracer, stop}, nil
}

// serveDebug serves profiles if the flag or the configuration asks for them, until stop is called.
func (f listenFlag) serveDebug(ctx context.Context, a *app, settings *config.Config) (stop func(), err error) {
	address := cmp.Or(f.DebugListen, settings.DebugListen)
	if address == "" {
		return func() {}, nil
	}
	server, err := metrics.ServeDebug(ctx, address, a.log)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", placeOr(f.DebugListen, "--debug-listen", settings, "debug_listen"), listenHint(err, "--debug-listen"))
	}
	if host, _, err := net.SplitHostPort(server.Address()); err == nil && !client.IsLoopback(host) {
		a.log.Warn().Str("address", server.Address()).
			Msg("profiles are served to other machines: whoever reaches this address can slow this process down and look into it; use a loopback address")
	}
	return func() {
		if err := server.Close(); err != nil {
			a.log.Warn().Err(err).Msg("the server of profiles did not close cleanly")
		}
	}, nil
}

// watchIncidents shows in the metrics what is open of some logs.
func (o observers) watchIncidents(store *auditstore.Store, namespaces []string) {
	o.metrics.WatchIncidents(func(ctx context.Context) (metrics.IncidentCounts, error) {
		counts := metrics.IncidentCounts{}
		for _, namespace := range namespaces {
			list, err := incident.ReadList(ctx, store, namespace)
			if err != nil {
				return nil, err
			}
			counts[namespace] = list.Unacknowledged()
		}
		return counts, nil
	})
}

// readQueues reads the state of the queues for the metrics.
func readQueues(work workList, namespaces []string) (metrics.Queues, error) {
	counts, err := work.ReadCounts(namespaces...)
	if err != nil {
		return metrics.Queues{}, err
	}
	state := metrics.Queues{}
	for _, c := range counts {
		state.Queues = append(state.Queues, metrics.Queue{
			Namespace: c.Namespace, Class: string(c.Class), Pending: c.Pending, Active: c.Active,
			Retry: c.Retry, Archived: c.Archived, Paused: c.Paused, OldestPending: c.OldestPending,
		})
	}
	state.Workers, err = work.LiveWorkers(namespaces...)
	return state, err
}
