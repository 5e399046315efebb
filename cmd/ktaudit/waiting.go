package main

import (
	"context"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
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

func (a *app) printWaiting(waiting []waitingEpochs) {
	for _, w := range waiting {
		a.line("waiting", "since %s: %s", w.Since.Format(time.RFC3339), w.Why)
		a.line("", "%s", w.ToDo)
	}
}
