package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
)

type alertCmd struct {
	Test alertTestCmd `cmd:"" help:"Send a test alert to every target of a configuration file, and say who got it."`
}

type alertTestCmd struct {
	storedFlags
}

func (alertTestCmd) Help() string {
	return `The test alert goes the way of a real one: through the outbox in the audit store, to every target, and its end after it.
Other open alerts are sent along. Exits with 0 if every target has it, with 2 if one hasn't.

Examples:
  ktaudit alert test --config ktaudit.yaml
  ktaudit alert test --config ktaudit.yaml --namespace whatsapp.key-transparency.v2`
}

// Run sends a test alert and its end.
func (c alertTestCmd) Run(ctx context.Context, a *app) (err error) {
	if c.Config == "" {
		return errors.New("--config is missing: the file with the alert targets")
	}
	settings, namespaces, err := c.logs("alert test")
	if err != nil {
		return err
	}
	targets, err := newAlertTargets(settings.Alerts)
	if err != nil {
		return err
	}
	if len(targets.all) == 0 {
		return fmt.Errorf("%s names no alert targets: see docs/ktaudit.example.yaml", c.Config)
	}
	store, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	namespace := namespaces[0].Namespace
	dispatcher, err := targets.dispatcher(store, []string{namespace}, nil, a.log)
	if err != nil {
		return err
	}
	box, test := alert.Outbox{Store: store}, alert.OfTest(namespace, time.Now())
	if err := box.Raise(ctx, test); err != nil {
		return err
	}
	sent := dispatcher.Flush(ctx)
	// What was raised is ended in any case, so that no target goes on showing it.
	ended := box.Resolve(ctx, namespace, test.Incident, time.Now())
	if err := errors.Join(sent, ended, dispatcher.Flush(ctx)); err != nil {
		return err
	}
	a.printf("the test alert of %s reached %d of %d targets, and so did its end\n", namespace, len(targets.all), len(targets.all))
	return nil
}
