package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/jobs/schedule"
	"github.com/ktaudit/ktaudit/jobs/worker"
	"golang.org/x/sync/errgroup"
)

type runCmd struct {
	configFlags
	auditFlags
	rangeFlags
	queueFlags
	listenFlag
	strictFlag
	Wait time.Duration `group:"limits" default:"0s" placeholder:"DURATION" help:"How long to wait for epochs of a range that are not published or not signed yet. By default it does not wait."`
}

func (runCmd) Help() string {
	return `Combines scheduler and worker in one process that needs no Redis. It follows all logs of the configuration, or one of them,
audits new epochs as they are published and history from --from on, and sends alerts. It runs until SIGTERM or Ctrl-C and
then exits with 0. A second signal ends it at once.

With --to, or for a log that is closed, it audits that range and ends when every epoch has a verdict or is found not to be
published or signed; for such epochs it waits as long as --wait says. It then prints the status of the range and exits as status
does, or, interrupted before that, with 2.

If it is interrupted or killed, run the same command again: it continues where it stopped.

Examples:
  ktaudit run --config ktaudit.yaml
  ktaudit run --preset whatsapp-v2 --audit-store ./audit --from 1200001
  ktaudit run --preset whatsapp-v2 --audit-store ./audit --from 1200001 --to 1200100
  ktaudit run --preset messenger --audit-store ./audit --from 625001
  ktaudit run --namespace example --log-directory ./log --audit-store ./audit --from 1 --to 50
  ktaudit run --namespace example --log-directory "s3://log?region=us-east-1" \
    --audit-store "s3://audit?region=us-east-1" --from 1 --to 100000`
}

// Run audits a range and prints its status, or follows logs until ctx ends.
func (c runCmd) Run(ctx context.Context, a *app) (err error) {
	settings, namespaces, err := c.loadAll(c.Namespace)
	if err != nil {
		return err
	}
	if err := c.putInto(namespaces, settings); err != nil {
		return err
	}
	targets, err := newAlertTargets(settings)
	if err != nil {
		return err
	}
	own, err := openVerdictLog(settings, true)
	if err != nil {
		return err
	}
	c.fillCommon(settings)
	c.queueFlags.fill(settings)
	c.Redis = cmp.Or(c.Redis, config.Default().Redis)
	if c.To == 0 {
		a.serve(ctx)
	} else {
		a.reloadOnHangup(ctx)
	}
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	auditors, err := c.openAll(ctx, a, "run", settings, namespaces, &open)
	if err != nil {
		return err
	}
	work, err := c.openQueue(ctx, a, namesOf(namespaces))
	if err != nil {
		return err
	}
	open.add(work.Close)
	o := observed{namespaces: namespaces, queue: work, store: auditors[0].Store, auditors: auditors, verdictLog: own}
	by, err := c.observe(ctx, a, settings, o)
	if err != nil {
		return err
	}
	defer by.stop()
	by.watchIncidents(o.store, namesOf(o.namespaces))
	if c.To == 0 {
		if o.heartbeat, err = newHeartbeat(settings, namespaces, by.metrics, a.log); err != nil {
			return err
		}
	}
	defer targets.watchStore(ctx, o.store, namesOf(namespaces), settings.StoreUnwritableAfter, by.metrics, o.heartbeat, a.log)()
	if c.To != 0 {
		return targets.sendAlerts(ctx, o.store, namesOf(namespaces), by.metrics, a.log, func() error { return c.audit(ctx, a, o) })
	}
	scheduler, err := newScheduler(ctx, a, o, by, &open)
	if err != nil {
		return err
	}
	dispatcher, err := targets.dispatcher(o.store, namesOf(namespaces), by.metrics, o.heartbeat, a.log)
	if err != nil {
		return err
	}
	return sendBeside(ctx, dispatcher, a.log, func() error { return c.follow(ctx, a, o, by, scheduler) })
}

// putInto lays the flags over the settings of the logs. If a range is to be audited, To is not 0
// afterwards and there is one log.
func (c *runCmd) putInto(namespaces []config.Namespace, settings *config.Config) error {
	first := &namespaces[0]
	if err := c.begin("--from", &c.From); err != nil {
		return err
	}
	if len(namespaces) == 1 {
		first.Anchor = cmp.Or(c.Anchor, first.Anchor)
		first.LogDirectory = cmp.Or(c.LogDirectory, first.LogDirectory)
	}
	if c.To != 0 || len(namespaces) == 1 && first.Last != 0 {
		if _, err := c.chooseOne(settings, c.Namespace); err != nil {
			return err
		}
		c.rangeFlags.fill(*first)
		first.First = c.From
		return c.check()
	}
	given := c.ofOneLog()
	if c.From != 0 {
		given = append(given, "--from")
	}
	if err := errors.Join(c.forOneLog(settings, namespaces, given), c.checkBounds()); err != nil {
		return err
	}
	if c.Wait != 0 {
		return errors.New("--wait needs a range: without --to, run waits for new epochs anyway")
	}
	// with several logs there is no --from
	first.First = cmp.Or(c.From, first.First, config.DefaultNamespace().First)
	return nil
}

// follow is scheduler and worker in one.
func (c runCmd) follow(ctx context.Context, a *app, o observed, by observers, scheduler *schedule.Scheduler) error {
	worker, err := worker.New(o.queue, o.auditors, c.worker(), a.log)
	if err != nil {
		return err
	}
	by.metrics.WatchStalled(worker.Stalled)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { o.heartbeat.Run(ctx); return nil })
	group.Go(func() error { return scheduler.Run(ctx) })
	group.Go(func() error { return worker.Run(ctx) })
	return group.Wait()
}

// audit audits a range and prints its status.
func (c runCmd) audit(ctx context.Context, a *app, o observed) error {
	status, err := runRange(ctx, a, o.queue, o.auditors[0], worker.RunConfig{
		From: c.From, To: c.To, NotPublishedWait: c.Wait, Worker: c.worker(),
	})
	if err != nil {
		return err
	}
	if err := o.verdictLog.appendAll(ctx, a, o.namespaces[0], o.store); err != nil {
		a.log.Warn().Err(err).Msg("the verdict log could not be brought up to date: run `ktaudit log append`")
	}
	waiting, err := readWaiting(ctx, o.store, status.Namespace)
	if err != nil {
		return err
	}
	return a.report(status, liveState{Waiting: waiting}, nextSteps{logDirectory: o.namespaces[0].LogDirectory, store: c.AuditStore}, c.Strict)
}

// runRange audits a range under a progress bar and returns its status.
func runRange(ctx context.Context, a *app, work workList, auditor *audit.Auditor, c worker.RunConfig) (report.Status, error) {
	a.bars.start("auditing", c.To-c.From+1)
	defer a.bars.finish()
	c.Window, c.FaultWait, c.Worker.PollInterval = config.DefaultWindow, config.FaultWait, config.RunPollInterval
	c.Progress = func(s worker.RunSummary) { a.bars.set(s.Done()) }
	c.Waiting = a.showWaits()
	incidents := incident.Recorder{Store: auditor.Store, Metrics: auditor.Metrics, Log: auditor.Log}
	keyless := false
	c.Keyless = func(ctx context.Context, epoch uint64, why error) error {
		keyless = true
		return raiseUnknownKey(ctx, incidents, auditor.Namespace, epoch, why)
	}
	summary, err := worker.Run(ctx, work, auditor, c)
	if err == nil && !keyless {
		err = resolveUnknownKeys(ctx, incidents, auditor.Namespace)
	}
	if err != nil && ctx.Err() != nil {
		err = &unfinishedError{err, fmt.Sprintf("%d of %d epochs were done; the same command goes on", summary.Done(), c.To-c.From+1)}
	}
	if err != nil {
		return report.Status{}, err
	}
	a.bars.finish()
	if summary.Failed > 0 {
		return report.Status{}, fmt.Errorf("%d of %d epochs have no verdict because of faults: see the log (--log-level warn), then run the same command again",
			summary.Failed, summary.Total)
	}
	return report.ReadStatus(ctx, auditor.Store, auditor.Namespace, auditor.Anchor, c.From, c.To)
}
