package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/lanes"
	"github.com/ktaudit/ktaudit/internal/metrics"
	"github.com/ktaudit/ktaudit/internal/tracing"
	"github.com/ktaudit/ktaudit/jobs"
	"golang.org/x/sync/errgroup"
)

type schedulerCmd struct {
	configFlags
	namespaceFlag
	logDirectoryFlag
	storeFlag
	queueFlags
	listenFlag
	First       uint64        `group:"log" placeholder:"EPOCH" help:"First epoch to audit. By default 1."`
	Last        uint64        `group:"log" placeholder:"EPOCH" help:"Last epoch of a log that is closed."`
	Poll        time.Duration `group:"log" placeholder:"DURATION" help:"How often to look for new epochs. By default 30s."`
	SilentAfter time.Duration `group:"log" placeholder:"DURATION" help:"How long the log may publish nothing before that is an alert. By default for ever without a configuration."`
}

func (schedulerCmd) Help() string {
	return `Runs until SIGTERM or Ctrl-C: finds the epochs that a log publishes, puts what has no verdict on the queue, new epochs ahead
of history, and sends alerts. Start as many as you like, on any number of machines; none of them is the leader. Workers do
the audits. With a configuration file it is for all logs in it, or one of them, and for the backfills and alert targets there.

Examples:
  ktaudit scheduler --config ktaudit.yaml
  ktaudit scheduler --namespace example --redis redis://localhost:6379/0 --log-directory ./log --audit-store ./audit`
}

// Run works until ctx ends.
func (c schedulerCmd) Run(ctx context.Context, a *app) (err error) {
	settings, err := c.load()
	if err != nil {
		return err
	}
	namespaces, err := c.choose(settings, c.Namespace)
	if err != nil {
		return err
	}
	if given := c.ofOneLog(); len(namespaces) > 1 && len(given) > 0 {
		return fmt.Errorf("%s: for one log, but %s has several: choose one of them with --namespace: %s",
			strings.Join(given, ", "), c.Config, strings.Join(namesOf(settings), ", "))
	}
	c.storeFlag.fill(settings)
	c.queueFlags.fill(settings)
	for _, n := range namespaces {
		err := missing("scheduler", "--namespace=NAME", n.Namespace, "--log-directory=URL", cmp.Or(c.LogDirectory, n.LogDirectory),
			"--audit-store=URL", c.AuditStore)
		if err != nil {
			return err
		}
	}
	targets, kinds, err := alertTargets(settings.Alerts)
	if err != nil {
		return err
	}
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	store, err := blobstore.OpenStore(ctx, c.AuditStore)
	if err != nil {
		return fmt.Errorf("--audit-store: %w", err)
	}
	open.add(store.Close)
	redis, err := c.connectShared(ctx, a)
	if err != nil {
		return err
	}
	open.add(redis.Close)

	m, stop, err := c.serve(ctx, a, settings, namespaces, redis, store)
	if err != nil {
		return err
	}
	defer stop()
	tracer, err := tracing.Start(ctx, buildInfo().Version, a.log)
	if err != nil {
		return err
	}
	defer func() {
		if err := tracer.Close(); err != nil {
			a.log.Warn().Err(err).Msg("the last traces were not sent")
		}
	}()
	schedules, err := c.schedules(ctx, namespaces, store, m, &open)
	if err != nil {
		return err
	}
	for i := range schedules {
		schedules[i].Tracer = tracer
	}
	scheduler, err := jobs.NewScheduler(redis, schedules, a.log)
	if err != nil {
		return err
	}
	dispatcher, err := alert.NewDispatcher(alert.Options{
		Store: store, Namespaces: names(namespaces), Targets: targets, Log: a.log,
		OnDelivery: func(target string, _ alert.Kind, result alert.Result) {
			var err error
			if result != alert.Delivered {
				err = errors.New(string(result))
			}
			if kind, ok := kinds[target]; ok { // else it is the log
				m.AlertSent(kind, err)
			}
		},
		OnPass: showPending(m),
	})
	if err != nil {
		return err
	}
	var group errgroup.Group
	group.Go(func() error { return scheduler.Run(ctx) })
	group.Go(func() error { return dispatcher.Run(ctx) })
	return group.Wait()
}

// showPending shows how many alerts of all logs wait.
func showPending(m *metrics.Metrics) func(namespace string, p alert.Pending) {
	var mu sync.Mutex
	all := map[string]alert.Pending{}
	return func(namespace string, p alert.Pending) {
		mu.Lock()
		defer mu.Unlock()
		all[namespace] = p
		critical, warning := 0, 0
		for _, p := range all {
			critical, warning = critical+p.Critical, warning+p.Warning
		}
		m.SetAlertsPending(critical, warning)
	}
}

// ofOneLog returns the flags given that can only be meant for one log.
func (c schedulerCmd) ofOneLog() []string {
	var given []string
	for _, f := range []struct {
		flag string
		is   bool
	}{{"--first", c.First != 0}, {"--last", c.Last != 0}, {"--log-directory", c.LogDirectory != ""}} {
		if f.is {
			given = append(given, f.flag)
		}
	}
	return given
}

// schedules opens each log.
func (c schedulerCmd) schedules(ctx context.Context, namespaces []config.Namespace, store *blobstore.Store, m *metrics.Metrics, open *closers) ([]jobs.Schedule, error) {
	var schedules []jobs.Schedule
	for _, n := range namespaces {
		log, err := blobstore.OpenBucket(ctx, cmp.Or(c.LogDirectory, n.LogDirectory))
		if err != nil {
			return nil, fmt.Errorf("--log-directory of %s: %w", n.Namespace, err)
		}
		open.add(log.Close)
		s := jobs.Schedule{
			Namespace: n.Namespace, Fetcher: fetcher.New(log, fetcher.Options{}), Store: store, Metrics: m,
			First: cmp.Or(c.First, n.First), Last: cmp.Or(c.Last, n.Last), Poll: cmp.Or(c.Poll, n.Poll),
			SilentAfter: cmp.Or(c.SilentAfter, n.SilentAfter), TransientAfter: n.TransientAfter, BacklogAge: n.BacklogAge,
			Retention: n.Retention,
		}
		for _, b := range n.Backfills {
			s.Backfills = append(s.Backfills, jobs.BackfillPlan{From: b.From, To: b.To, Cron: b.Cron, Window: b.Window})
		}
		schedules = append(schedules, s)
	}
	return schedules, nil
}

// serve tells of metrics and health, where the flag or the configuration asks for it.
func (c schedulerCmd) serve(ctx context.Context, a *app, settings *config.Config, namespaces []config.Namespace, redis *jobs.Redis, store *blobstore.Store) (m *metrics.Metrics, stop func(), err error) {
	listen := cmp.Or(c.Listen, settings.Listen)
	if listen == "" {
		return nil, func() {}, nil
	}
	b := buildInfo()
	m = metrics.New(metrics.Options{
		Namespaces: names(namespaces), Version: b.Version, Commit: b.Commit, GoVersion: b.Go, HashPath: lanes.Path(),
	})
	for _, n := range namespaces {
		m.SetThresholds(n.Namespace, metrics.Thresholds{Silent: cmp.Or(c.SilentAfter, n.SilentAfter), Backlog: n.BacklogAge})
	}
	m.WatchQueues(func(ctx context.Context) (metrics.Queues, error) { return redis.ReadQueues(ctx, names(namespaces)) })
	m.WatchDependency("redis", redis.Ping)
	m.WatchDependency("audit_store", store.Ping)
	server, err := m.Serve(ctx, listen, a.log)
	if err != nil {
		return nil, nil, err
	}
	return m, func() {
		if err := server.Close(); err != nil {
			a.log.Warn().Err(err).Msg("closing the metrics")
		}
	}, nil
}

func names(namespaces []config.Namespace) []string {
	var all []string
	for _, n := range namespaces {
		all = append(all, n.Namespace)
	}
	return all
}

// alertTargets makes the targets of the configuration, and says by their names of which kind they are. Their secrets are read here,
// once.
func alertTargets(c config.Alerts) (targets []alert.Target, kinds map[string]string, err error) {
	kinds = map[string]string{}
	var errs []error
	add := func(kind string, i int, target alert.Target, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("alerts.%s[%d]: %w", kind, i, err))
			return
		}
		targets, kinds[target.Name()] = append(targets, target), kind
	}
	for i, t := range c.Alertmanager {
		address, err := t.Address()
		var target alert.Target
		if err == nil {
			target, err = alert.NewAlertmanager(t.Name, address)
		}
		add("alertmanager", i, target, err)
	}
	for i, t := range c.Webhook {
		address, err := t.Address()
		secret, secretErr := t.Secret()
		var target alert.Target
		if err = errors.Join(err, secretErr); err == nil {
			target, err = alert.NewWebhook(t.Name, address, []byte(secret))
		}
		add("webhook", i, target, err)
	}
	for i, t := range c.Slack {
		address, err := t.Address()
		var target alert.Target
		if err == nil {
			target, err = alert.NewSlack(t.Name, address)
		}
		add("slack", i, target, err)
	}
	return targets, kinds, errors.Join(errs...)
}
