package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/jsonpost"
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
	targets, err := newAlertTargets(settings)
	if err != nil {
		return err
	}
	if len(targets.all) == 0 && !settings.Heartbeat.IsOn() {
		return fmt.Errorf("%s has no alert targets: add at least one under \"alerts\", as in docs/ktaudit.example.yaml", c.Config)
	}
	trials := []*trial{}
	for i, t := range targets.all {
		one := &trial{target: t.Name, kind: targets.kinds[t.Name], err: errNotTried}
		targets.all[i].Send, trials = one.sending(t.Send), append(trials, one)
	}
	if settings.Heartbeat.IsOn() {
		ping, err := newPing(settings.Heartbeat)
		if err != nil {
			return err
		}
		trials = append(trials, &trial{target: "heartbeat", err: ping(ctx)})
	}
	namespace := namespaces[0].Namespace
	undelivered, err := c.sendTest(ctx, a, namespace, targets.all)
	if err != nil {
		return err
	}
	if err := a.printTrials(namespace, trials); err != nil {
		return err // which says more of the same
	}
	return undelivered
}

// sendTest has a test alert of a log delivered, and its end. Undelivered says what is left of these
// and of other alerts.
func (c alertTestCmd) sendTest(ctx context.Context, a *app, namespace string, targets []alert.Target) (undelivered, err error) {
	if len(targets) == 0 {
		return nil, nil
	}
	store, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	dispatcher, err := alert.NewDispatcher(alert.Options{
		Store: store, Namespaces: []string{namespace}, Targets: targets, Log: a.log,
	})
	if err != nil {
		return nil, err
	}
	box, test := alert.Outbox{Store: store}, alert.OfTest(namespace, time.Now())
	if _, err := box.Raise(ctx, test); err != nil {
		return nil, err
	}
	sent := dispatcher.Flush(ctx)
	// The test alert is resolved in any case, so that no target keeps showing it.
	ended := box.Resolve(ctx, namespace, test.Incident, time.Now())
	endSent := dispatcher.Flush(ctx)
	if sent != nil {
		endSent = nil // the same error again
	}
	return errors.Join(sent, endSent), ended
}

// errNotTried is the result of a target to which nothing was sent.
var errNotTried = errors.New("the test alert was not sent to it")

// trial is what came of a test alert at a target.
type trial struct {
	target, kind string
	mu           sync.Mutex
	err          error
}

// sending returns send, with what came of a test alert noted, or of alerts that come before it and
// keep it from being sent. That it has ended does not count.
func (r *trial) sending(send func(context.Context, []alert.Alert) error) func(context.Context, []alert.Alert) error {
	return func(ctx context.Context, alerts []alert.Alert) error {
		err := send(ctx, alerts)
		r.mu.Lock()
		defer r.mu.Unlock()
		switch isTest := alerts[0].Kind == alert.Test && !alerts[0].Resolved(); {
		case isTest:
			r.err = err
		case err != nil && errors.Is(r.err, errNotTried):
			r.err = fmt.Errorf("%w, for alerts that wait could not be sent: %w", errNotTried, err)
		}
		return err
	}
}

// printTrials prints which targets have the test alert, whether or not they know that it is
// resolved, and what to do about the others.
func (a *app) printTrials(namespace string, trials []*trial) error {
	for _, r := range trials {
		if a.json {
			line := struct {
				Namespace string `json:"namespace"`
				Target    string `json:"target"`
				Reached   bool   `json:"reached"`
				Error     string `json:"error,omitempty"`
			}{namespace, r.target, r.err == nil, ""}
			if r.err != nil {
				line.Error = r.err.Error()
			}
			if err := a.object(line); err != nil {
				return err
			}
			continue
		}
		if r.err == nil {
			a.printf("%-20s reached\n", r.target)
		} else {
			a.printf("%-20s not reached: %v; %s\n", r.target, r.err, r.hint())
		}
	}
	if slices.ContainsFunc(trials, func(r *trial) bool { return r.err != nil }) {
		return errors.New("not every target was reached: put right what is said above, and try again")
	}
	return nil
}

// hint says what to check of a target that was not reached.
func (r *trial) hint() string {
	switch refused := jsonpost.Refused(r.err); {
	case r.kind == "exec" && refused:
		return "check its path, and that it may be executed"
	case r.kind == "exec":
		return "it was started, and failed or took longer than its timeout"
	case r.kind == "email" && refused:
		return "check the addresses, the user name and the password"
	case refused:
		return "check its address and its secret"
	default:
		return "check that it works, and can be reached from here"
	}
}
