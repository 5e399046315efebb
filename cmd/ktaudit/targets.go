package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/metrics"
	"github.com/rs/zerolog"
)

// flushTimeout bounds how long a command whose work is done goes on for the sake of its alerts.
const flushTimeout = 15 * time.Second

// alertTargets are whom the configuration tells.
type alertTargets struct {
	all   []alert.Target
	kinds map[string]string // by their names
}

// newAlertTargets makes the targets of the configuration. Their secrets are read here, once.
func newAlertTargets(c config.Alerts) (alertTargets, error) {
	targets := alertTargets{kinds: map[string]string{}}
	var errs []error
	add := func(kind string, i int, target alert.Target, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("alerts.%s[%d]: %w", kind, i, err))
			return
		}
		targets.all, targets.kinds[target.Name()] = append(targets.all, target), kind
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
	return targets, errors.Join(errs...)
}

// dispatcher sends the alerts of some logs to the targets, and tells m, which may be nil, of it.
func (t alertTargets) dispatcher(store *blobstore.Store, namespaces []string, m *metrics.Metrics, log zerolog.Logger) (*alert.Dispatcher, error) {
	return alert.NewDispatcher(alert.Options{
		Store: store, Namespaces: namespaces, Targets: t.all, Log: log,
		OnDelivery: func(target string, _ alert.Kind, result alert.Result) {
			var err error
			if result != alert.Delivered {
				err = errors.New(string(result))
			}
			if kind, ok := t.kinds[target]; ok { // else it is the log
				m.AlertSent(kind, err)
			}
		},
		OnPass: showPending(m),
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

// sendAlerts is sendBeside for commands that come to an end. Without targets the alerts wait in the audit store for somebody who knows
// where to send them.
func (t alertTargets) sendAlerts(ctx context.Context, store *blobstore.Store, namespaces []string, m *metrics.Metrics, log zerolog.Logger, work func() error) error {
	if len(t.all) == 0 {
		return work()
	}
	dispatcher, err := t.dispatcher(store, namespaces, m, log)
	if err != nil {
		return err
	}
	return sendBeside(ctx, dispatcher, log, work)
}

// sendBeside sends alerts while work goes on, and then for a little longer those that it left: an epoch may be rejected at the last
// moment, also of a command that was told to stop. What could not be sent is in the audit store still.
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
		log.Warn().Err(err).Msg("some alerts were not sent: a scheduler will, or the next run")
	}
	return err
}
