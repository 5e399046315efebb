package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
)

type alertCmd struct {
	Test alertTestCmd `cmd:"" help:"Send a test alert to every target of a configuration file."`
}

type alertTestCmd struct {
	storedFlags
}

func (alertTestCmd) Help() string {
	return `Sends a test alert in the same way as a real one, through the outbox in the audit store to every target, and then resolves
it. Other pending alerts are sent as well. The address of a heartbeat is pinged once, whether or not all is well. Exits with 0
if every target accepted the alert, with 2 if one did not.

Examples:
  ktaudit alert test --config ktaudit.yaml
  ktaudit alert test --config ktaudit.yaml --namespace whatsapp.key-transparency.v2`
}

// Run sends a test alert and resolves it.
func (c alertTestCmd) Run(ctx context.Context, a *app) (err error) {
	if c.Config == "" {
		return errors.New("--config is missing: give the configuration file with the alert targets")
	}
	settings, namespaces, err := c.logs("alert test")
	if err != nil {
		return err
	}
	targets, err := newAlertTargets(settings.Alerts)
	if err != nil {
		return err
	}
	if len(targets.all) == 0 && !settings.Heartbeat.IsOn() {
		return fmt.Errorf("%s has no alert targets: add at least one under \"alerts\", as in docs/ktaudit.example.yaml", c.Config)
	}
	var ping func(context.Context) error
	if settings.Heartbeat.IsOn() {
		if ping, err = newPing(settings.Heartbeat); err != nil {
			return err
		}
	}
	store, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	namespace := namespaces[0].Namespace
	var mu sync.Mutex
	reached := map[string]bool{}
	dispatcher, err := alert.NewDispatcher(alert.Options{
		Store: store, Namespaces: []string{namespace}, Targets: targets.all, Log: a.log,
		OnDelivery: func(target string, kind alert.Kind, result alert.Result) {
			mu.Lock()
			defer mu.Unlock()
			reached[target] = reached[target] || kind == alert.Test && result == alert.Delivered
		},
	})
	if err != nil {
		return err
	}
	box, test := alert.Outbox{Store: store}, alert.OfTest(namespace, time.Now())
	if _, err := box.Raise(ctx, test); err != nil {
		return err
	}
	sent := dispatcher.Flush(ctx)
	// The test alert is resolved in any case, so that no target keeps showing it.
	ended := box.Resolve(ctx, namespace, test.Incident, time.Now())
	endSent := dispatcher.Flush(ctx)
	if sent != nil {
		endSent = nil // the same error again
	}
	names := make([]string, len(targets.all))
	for i, t := range targets.all {
		names[i] = t.Name
	}
	var pinged error
	if ping != nil {
		if pinged = ping(ctx); pinged != nil {
			pinged = fmt.Errorf("heartbeat: %w", pinged)
		}
		names = append(names, "heartbeat")
		reached["heartbeat"] = pinged == nil
	}
	return errors.Join(sent, ended, endSent, pinged, a.printReached(namespace, names, reached))
}

// printReached prints which targets have the test alert, whether or not they know that it is
// resolved.
func (a *app) printReached(namespace string, targets []string, reached map[string]bool) error {
	for _, target := range targets {
		if a.json {
			err := a.object(struct {
				Namespace string `json:"namespace"`
				Target    string `json:"target"`
				Reached   bool   `json:"reached"`
			}{namespace, target, reached[target]})
			if err != nil {
				return err
			}
			continue
		}
		word := "reached"
		if !reached[target] {
			word = "not reached"
		}
		a.printf("%-20s %s\n", target, word)
	}
	return nil
}
