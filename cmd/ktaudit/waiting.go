package main

import (
	"context"
	"errors"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/jobs/incident"
)

// waitingEpochs are epochs that wait for the operator, and have no verdict. They may be the newest
// ones, which verdicts alone do not show.
type waitingEpochs struct {
	Kind  alert.Kind `json:"kind"`
	From  uint64     `json:"from"` // the first of them
	Since time.Time  `json:"since"`
	Why   string     `json:"why"`
	ToDo  string     `json:"to_do"`
}

// readWaiting returns what the alerts that are open say of a log's epochs that wait.
func readWaiting(ctx context.Context, store *auditstore.Store, namespace string) ([]waitingEpochs, error) {
	open, err := alert.Outbox{Store: store}.Unresolved(ctx, namespace, nil)
	if err != nil && !auditstore.IsUnreadable(err) {
		return nil, err
	}
	var waiting []waitingEpochs
	for _, a := range open {
		if a.Kind == alert.UnknownKey {
			waiting = append(waiting, waitingEpochs{a.Kind, a.Epoch, a.At, a.Summary, a.Detail})
		}
	}
	return waiting, nil
}

// raiseUnknownKey raises the alert on epochs that wait for a key, where no scheduler does. One
// stands for all of a log.
func raiseUnknownKey(ctx context.Context, incidents incident.Recorder, namespace string, epoch uint64, why error) error {
	waiting, err := readWaiting(ctx, incidents.Store, namespace)
	if err != nil || len(waiting) > 0 {
		return err
	}
	return incidents.Raise(ctx, alert.OfUnknownKey(namespace, epoch, why))
}

// resolveUnknownKeys ends the alerts on epochs that waited for a key and have a verdict now.
func resolveUnknownKeys(ctx context.Context, incidents incident.Recorder, namespace string) error {
	open, err := incidents.Outbox().Unresolved(ctx, namespace, nil)
	if err != nil && !auditstore.IsUnreadable(err) {
		return err
	}
	for _, a := range open {
		if a.Kind != alert.UnknownKey && a.Kind != alert.KeyOverdue {
			continue
		}
		_, err := incidents.Store.Verdict(ctx, namespace, a.Epoch)
		if err == nil {
			err = incidents.Resolve(ctx, a, time.Now())
		}
		if err != nil && !errors.Is(err, auditstore.ErrNotFound) {
			return err
		}
	}
	return nil
}

func (a *app) printWaiting(waiting []waitingEpochs) {
	for _, w := range waiting {
		a.line("waiting", "since %s: %s", w.Since.Format(time.RFC3339), w.Why)
		a.line("", "%s", w.ToDo)
	}
}
