package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/alert/targets"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/metrics"
	"github.com/ktaudit/ktaudit/internal/reload"
	"github.com/ktaudit/ktaudit/internal/storewatch"
	"github.com/ktaudit/ktaudit/jobs/heartbeat"
	"github.com/rs/zerolog"
)

// flushTimeout bounds how long a command whose work is done goes on only to send its alerts.
const flushTimeout = 15 * time.Second

// alertTargets are the targets of a configuration.
type alertTargets struct {
	all   []alert.Target
	kinds map[string]string // by the targets' names
}

// newAlertTargets makes the targets of a configuration.
func newAlertTargets(c *config.Config) (alertTargets, error) {
	made := alertTargets{kinds: map[string]string{}}
	var errs []error
	for _, t := range c.Alerts.Targets() {
		some, err := newTargetsOf(t, c.Runbook)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		made.all = append(made.all, some...)
		for _, target := range some {
			made.kinds[target.Name] = t.Kind
		}
	}
	return made, errors.Join(errs...)
}

// newTargetsOf makes targets that read their address and secrets again when their files change.
// Their names stay what they were, since deliveries are recorded by them.
func newTargetsOf(t config.AlertTarget, runbook string) ([]alert.Target, error) {
	made, err := readTargetsOf(t, runbook)
	files := t.SecretFiles()
	if err != nil || len(files) == 0 {
		return made, err
	}
	newest, err := reload.New(func([][]byte) ([]alert.Target, error) { return readTargetsOf(t, runbook) }, func(error) {}, files...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t, err)
	}
	for i := range made {
		made[i].Send = func(ctx context.Context, alerts []alert.Alert) error {
			latest, unreadable := newest.Get() // with what could be read last
			err := latest[i].Send(ctx, alerts)
			if err != nil {
				err = errors.Join(err, unreadable)
			}
			return err
		}
	}
	return made, nil
}

func readTargetsOf(t config.AlertTarget, runbook string) ([]alert.Target, error) {
	settings, err := t.Settings(runbook)
	if err != nil {
		return nil, err
	}
	made, err := targets.New(t.Kind, settings)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t, err)
	}
	return made, nil
}

// dispatcher returns one that sends the alerts of some logs to the targets, counts them in m and
// tells beat what is left, each of which may be nil.
func (t alertTargets) dispatcher(
	store *auditstore.Store, namespaces []string, m *metrics.Metrics, beat *heartbeat.Heartbeat, log zerolog.Logger,
) (*alert.Dispatcher, error) {
	show := showPending(m)
	return alert.NewDispatcher(alert.Options{
		Store: store, Namespaces: namespaces, Targets: t.all, Log: log,
		OnDelivery: func(target string, _ alert.Kind, result alert.Result) {
			var err error
			if result != alert.Delivered {
				err = errors.New(string(result))
			}
			if kind, ok := t.kinds[target]; ok { // otherwise it is the log
				m.AlertSent(kind, err)
			}
		},
		OnPass: func(namespace string, p alert.Pending) {
			show(namespace, p)
			beat.Pass(namespace, p.Critical+p.Warning)
		},
	})
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

// watchStore has the targets told if the audit store cannot be written, m show it and beat know,
// each of which may be nil, until stop is called.
func (t alertTargets) watchStore(
	ctx context.Context, store *auditstore.Store, namespaces []string, after time.Duration, m *metrics.Metrics, beat *heartbeat.Heartbeat,
	log zerolog.Logger,
) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	watch := storewatch.Watch{
		Store: store, Namespaces: namespaces, Targets: t.all, After: after, Log: log,
		OnTrial: func(since time.Time) {
			for _, namespace := range namespaces {
				m.SetStoreUnwritable(namespace, since)
			}
			beat.StoreTried(since)
		},
	}
	var watching sync.WaitGroup
	watching.Go(func() { watch.Run(ctx) })
	return func() { cancel(); watching.Wait() }
}

// sendAlerts is sendBeside for commands that come to an end. Without targets the alerts stay in the
// audit store for a process that has some.
func (t alertTargets) sendAlerts(
	ctx context.Context, store *auditstore.Store, namespaces []string, m *metrics.Metrics, log zerolog.Logger,
	work func() error,
) error {
	if len(t.all) == 0 {
		return work()
	}
	dispatcher, err := t.dispatcher(store, namespaces, m, nil, log)
	if err != nil {
		return err
	}
	return sendBeside(ctx, dispatcher, log, work)
}

// sendBeside sends alerts while work goes on, and afterwards, for a little longer, those that are
// left: an epoch may be rejected at the last moment, even by a command that was told to stop.
// Alerts that could not be sent stay in the audit store.
func sendBeside(ctx context.Context, d *alert.Dispatcher, log zerolog.Logger, work func() error) error {
	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var sender sync.WaitGroup
	sender.Go(func() { _ = d.Run(sending) }) // always nil
	err := work()
	stop()
	sender.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	if err := d.Flush(last); err != nil {
		log.Warn().Err(err).
			Msg("some alerts were not sent: they stay in the audit store until a scheduler or the next run sends them")
	}
	return err
}
