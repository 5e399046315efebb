package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/units"
	"github.com/ktaudit/ktaudit/jobs/chain"
	"github.com/ktaudit/ktaudit/jobs/evidence"
	"github.com/ktaudit/ktaudit/jobs/recheck"
	"github.com/ktaudit/ktaudit/jobs/schedule"
	"gocloud.dev/blob"
	"golang.org/x/sync/errgroup"
)

type schedulerCmd struct {
	configFlags
	namespaceFlag
	logDirectoryFlag
	anchorFlag
	storeFlag
	queueFlags
	listenFlag
	First       uint64        `group:"log" placeholder:"EPOCH" help:"First epoch to audit. By default ${default_first}."`
	Signatures  string        `group:"signatures" placeholder:"URL" help:"Bucket or directory of signed digests, {epoch}.json, which are kept as evidence of what is found to be wrong. By default those in the audit store."`
	Last        uint64        `group:"log" placeholder:"EPOCH" help:"Last epoch of a closed log."`
	Poll        time.Duration `group:"log" placeholder:"DURATION" help:"Interval between checks for new epochs. By default ${default_poll}."`
	SilentAfter time.Duration `group:"log" placeholder:"DURATION" help:"Raise an alert if the log publishes nothing for this long. Without a configuration file, by default never."`
}

func (schedulerCmd) Help() string {
	return `Runs until SIGTERM or Ctrl-C. It looks for new epochs, adds those without a verdict to the queue, new epochs ahead of
history, and sends alerts. Workers do the audits. You can start any number of schedulers on any number of machines; there
is no leader. With a configuration file it serves all logs in it, or the one given by --namespace, with the backfills and
alert targets of the file.

Examples:
  ktaudit scheduler --config ktaudit.yaml
  ktaudit scheduler --namespace example --redis redis://localhost:6379/0 --log-directory ./log --audit-store ./audit`
}

// Run works until ctx ends.
func (c schedulerCmd) Run(ctx context.Context, a *app) (err error) {
	a.serve(ctx)
	settings, namespaces, err := c.logs()
	if err != nil {
		return err
	}
	c.storeFlag.fill(settings)
	c.queueFlags.fill(settings)
	for _, n := range namespaces {
		err := missing("scheduler", "--namespace=NAME", n.Namespace, "--log-directory=URL", n.LogDirectory, "--audit-store=URL", c.AuditStore)
		if err != nil {
			return err
		}
	}
	targets, err := newAlertTargets(settings)
	if err != nil {
		return err
	}
	own, err := openVerdictLog(settings, true)
	if err != nil {
		return err
	}
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	store, err := c.storeFlag.openWritable(ctx, a)
	if err != nil {
		return err
	}
	open.add(store.Close)
	redis, err := c.connectShared(ctx, a)
	if err != nil {
		return err
	}
	open.add(redis.Close)
	if err := c.use(ctx, a, redis, namesOf(namespaces)); err != nil {
		return err
	}
	o := observed{namespaces: namespaces, queue: redis, store: store, verdictLog: own}
	by, err := c.observe(ctx, a, settings, o)
	if err != nil {
		return err
	}
	defer by.stop()
	by.watchIncidents(o.store, namesOf(o.namespaces))
	if o.heartbeat, err = newHeartbeat(settings, namespaces, by.metrics, a.log); err != nil {
		return err
	}
	scheduler, err := newScheduler(ctx, a, o, by, &open)
	if err != nil {
		return err
	}
	dispatcher, err := targets.dispatcher(store, namesOf(namespaces), by.metrics, o.heartbeat, a.log)
	if err != nil {
		return err
	}
	defer targets.watchStore(ctx, store, namesOf(namespaces), settings.StoreUnwritableAfter, by.metrics, o.heartbeat, a.log)()
	var group errgroup.Group
	group.Go(func() error { o.heartbeat.Run(ctx); return nil })
	group.Go(func() error { return scheduler.Run(ctx) })
	group.Go(func() error { return dispatcher.Run(ctx) })
	return group.Wait()
}

// logs returns the logs to follow, with the flags put in.
func (c schedulerCmd) logs() (*config.Config, []config.Namespace, error) {
	settings, namespaces, err := c.loadAll(c.Namespace)
	if err == nil {
		err = refuseNegative("poll", c.Poll)
	}
	if err == nil {
		err = c.forOneLog(settings, namespaces, flagsGiven(map[string]bool{
			"--first": c.First != 0, "--anchor": c.Anchor != "", "--last": c.Last != 0, "--log-directory": c.LogDirectory != "",
			"--signatures": c.Signatures != "",
		}))
	}
	if err == nil {
		err = c.begin("--first", &c.First)
	}
	for i := range namespaces {
		n := &namespaces[i]
		n.Anchor = cmp.Or(c.Anchor, n.Anchor)
		n.LogDirectory = cmp.Or(c.LogDirectory, n.LogDirectory)
		n.Signatures = cmp.Or(c.Signatures, n.Signatures)
		n.First, n.Last = cmp.Or(c.First, n.First, config.DefaultNamespace().First), cmp.Or(c.Last, n.Last)
		n.Poll, n.SilentAfter = cmp.Or(c.Poll, n.Poll), cmp.Or(c.SilentAfter, n.SilentAfter)
	}
	return settings, namespaces, err
}

// newScheduler opens each log and makes a scheduler for them. The caller closes what is added to
// open, also after an error.
func newScheduler(ctx context.Context, a *app, o observed, by observers, open *closers) (*schedule.Scheduler, error) {
	schedules, err := newSchedules(ctx, a, o, by, open)
	if err != nil {
		return nil, err
	}
	return schedule.New(o.queue, schedules, a.log)
}

// newSchedules opens each log, and its signed digests unless an auditor has them open.
func newSchedules(ctx context.Context, a *app, o observed, by observers, open *closers) ([]schedule.Config, error) {
	logs, signatures := make([]*blob.Bucket, len(o.namespaces)), make([]*blob.Bucket, len(o.namespaces))
	err := forEach(o.namespaces, func(i int, n config.Namespace) (err error) {
		if logs[i], err = a.openOfLog(ctx, n.Namespace, n.LogDirectory, len(o.namespaces) > 1); err != nil {
			return fmt.Errorf("log directory of %s: %w", n.Namespace, err)
		}
		if n.Signatures == "" || len(o.auditors) > 0 {
			return nil
		}
		// Nothing but evidence hangs on them: out of reach, they keep no scheduler from starting.
		if signatures[i], err = a.openSignatures(ctx, n.Namespace, n.Signatures, true); err != nil {
			return fmt.Errorf("signed digests of %s: %w", n.Namespace, err)
		}
		return nil
	})
	for _, bucket := range slices.Concat(logs, signatures) {
		if bucket != nil {
			open.add(bucket.Close)
		}
	}
	if err != nil {
		return nil, err
	}
	for i, auditor := range o.auditors {
		signatures[i] = auditor.Signatures
	}
	var schedules []schedule.Config
	for i, n := range o.namespaces {
		anchor, err := anchorFlag{n.Anchor}.anchor()
		if err != nil {
			return nil, err
		}
		var maxLag units.Lag // none
		// Also a log whose audit may be behind for ever must not wait for a key for ever.
		overdue, err := units.ParseLag(cmp.Or(n.MaxLag, config.DefaultNamespace().MaxLag))
		if err != nil {
			return nil, fmt.Errorf("max_lag of %s: %w", n.Namespace, err)
		}
		if n.MaxLag != "" {
			maxLag = overdue
		}
		s := schedule.Config{
			Anchor:    anchor,
			Namespace: n.Namespace, Fetcher: fetcher.New(logs[i], fetcher.Options{Present: blobstore.Present(n.LogDirectory)}), Store: o.store, Metrics: by.jobMetrics(), Tracer: by.jobTracer(),
			First: n.First, Last: n.Last, Cadence: n.Cadence, Poll: n.Poll, Window: config.DefaultWindow,
			SilentAfter: n.SilentAfter, TransientAfter: n.TransientAfter, BacklogAge: n.BacklogAge,
			KeyOverdueAfter: overdue.Age, KeyOverdueEpochs: overdue.Epochs,
			MaxLag: maxLag.Age, MaxLagEpochs: maxLag.Epochs, OnRound: func(err error) { o.heartbeat.Round(n.Namespace, err) },
			Retention: n.Retention, Log: logs[i],
			Recheck: recheck.Settings{
				After: n.RecheckAfter, History: n.RecheckHistory, SampleOneIn: n.ReverifyOneIn, SampleBytes: int64(n.ReverifyBytes),
			},
		}
		collect := newCollector(n.Evidence, evidence.Collector{
			Namespace: n.Namespace, Fetcher: s.Fetcher, Store: o.store, Signatures: signatures[i], Log: a.log,
		}).On
		s.Collect = collect
		for _, b := range n.Backfills {
			s.Backfills = append(s.Backfills, schedule.BackfillPlan{From: b.From, To: b.To, Cron: b.Cron, Window: b.Window})
		}
		if n.ChainEvery > 0 {
			names := newChainConfig(n, logs[i], o.store, a.log.With().Str("namespace", n.Namespace).Logger())
			names.Metrics, names.Collect = s.Metrics, collect
			if s.Names, err = chain.New(names); err != nil {
				return nil, err
			}
			s.ChainEvery = n.ChainEvery
		}
		if s.Beside, err = newCrossChecks(a, n, o.store, by, collect); err != nil {
			return nil, err
		}
		ownLog, err := newVerdictLogLoop(a, o, n, by, s.Fetcher)
		if err != nil {
			return nil, err
		}
		if ownLog != nil {
			s.Beside = append(s.Beside, ownLog)
		}
		schedules = append(schedules, s)
	}
	return schedules, nil
}
