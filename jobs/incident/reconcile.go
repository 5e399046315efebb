package incident

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
)

// Reconcile makes the incidents of a log agree with its alerts. It opens what only the outbox
// knows, as in stores of older versions, adds the alerts that a crash kept from being written, and
// takes out the conditions that have ended. To repeat it changes nothing.
//
// That the incidents are complete is written last: until then ReadList asks the outbox, too. What
// cannot be read is passed over, and is the error in the end.
func (r Recorder) Reconcile(ctx context.Context, namespace string) error {
	incidents := r.Store.Incidents(namespace)
	raised, err := readRaised(ctx, r.Store, namespace)
	if err != nil {
		return err
	}
	var corrupt []error
	note := func(err error) error {
		if errors.Is(err, auditstore.ErrCorrupt) {
			corrupt = append(corrupt, err)
			return nil
		}
		return err
	}
	open := map[string]bool{}
	for name, err := range incidents.OpenNames(ctx) {
		if err != nil {
			return err
		}
		incident := incidentOf(name)
		open[incident] = true
		if err := note(r.reconcileOpen(ctx, namespace, incident, raised)); err != nil {
			return err
		}
	}
	for _, incident := range slices.Sorted(maps.Keys(raised.open)) {
		if open[incident] {
			continue
		}
		a, err := r.Outbox().Raised(ctx, namespace, incident)
		if err == nil {
			err = r.open(ctx, a)
		}
		if errors.Is(err, auditstore.ErrNotFound) {
			err = nil // removed by hand
		}
		if err := note(err); err != nil {
			return err
		}
	}
	if err := incidents.MarkComplete(ctx); err != nil {
		return err
	}
	return errors.Join(corrupt...)
}

// reconcileOpen makes the outbox agree with an open incident.
func (r Recorder) reconcileOpen(ctx context.Context, namespace, incident string, known raised) error {
	kind, err := alert.ParseIncident(incident)
	if err != nil || known.open[incident] && !kind.Ends() {
		return nil // of a later version, or as it should be
	}
	incidents, name := r.Store.Incidents(namespace), objectName(incident)
	if kind.Ends() {
		record, err := incidents.Ended(ctx, name)
		if err == nil { // opened again a moment after it ended, or the end crashed half-way
			return incidents.End(ctx, name, record)
		}
		if !errors.Is(err, auditstore.ErrNotFound) || known.open[incident] {
			return ignoreNotFound(err)
		}
	}
	data, err := incidents.Incident(ctx, name)
	if err != nil {
		return ignoreNotFound(err)
	}
	a, err := alert.Decode(namespace, incident, data)
	if err != nil {
		return fmt.Errorf("incident %s of %s: %w: %w", incident, namespace, auditstore.ErrCorrupt, err)
	}
	if !known.noticed[incident] {
		_, err = r.Outbox().Raise(ctx, a)
		return err
	}
	// A notice says that it has ended, which an older version wrote.
	if data, err = json.Marshal(a); err != nil {
		return err
	}
	return incidents.End(ctx, name, data)
}

func ignoreNotFound(err error) error {
	if errors.Is(err, auditstore.ErrNotFound) {
		return nil
	}
	return err
}
