package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
)

// Outbox takes alerts and keeps them in the audit store until they were delivered. Store is
// required.
type Outbox struct {
	Store *auditstore.Store
}

// Raise puts an alert into the outbox, once per incident: if the incident was raised before,
// delivered or not, resolved or not, it does nothing and returns false. Without an error the alert
// will reach every target. An error means that it may not be there: raise it again, and write
// nothing that would keep others from finding the same.
//
// It reads once and writes once. A crash between the two leaves nothing. If a dispatcher closes the
// incident between the two, the notice is opened again; dispatchers look for the record of the
// closed one before they send, and remove it.
func (o Outbox) Raise(ctx context.Context, a Alert) (raised bool, err error) {
	a.ResolvedAt = time.Time{}
	if a, err = a.Complete(time.Now()); err != nil {
		return false, err
	}
	return o.put(ctx, a)
}

// Resolve records when a condition ended. Targets that were sent its alert are sent its end, too.
// For an incident that was never raised or is already resolved, it does nothing. It reads two or
// three times and lists nothing.
func (o Outbox) Resolve(ctx context.Context, namespace, incident string, at time.Time) error {
	kind, err := ParseIncident(incident)
	if err != nil {
		return err
	}
	if !kind.Ends() {
		return fmt.Errorf("incident %q of %q cannot be resolved: it is a fact and has no end", incident, namespace)
	}
	a, err := o.raised(ctx, namespace, noticeName(kind, incident, false))
	if errors.Is(err, auditstore.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	a.ResolvedAt = at.UTC()
	if a.ResolvedAt.Before(a.At) {
		a.ResolvedAt = a.At // another machine's clock is behind
	}
	_, err = o.put(ctx, a)
	return err
}

// Raised returns the alert on an incident that is in the outbox, or was delivered; ErrNotFound if
// it never was there.
func (o Outbox) Raised(ctx context.Context, namespace, incident string) (Alert, error) {
	kind, err := ParseIncident(incident)
	if err != nil {
		return Alert{}, err
	}
	return o.raised(ctx, namespace, noticeName(kind, incident, false))
}

// Unresolved returns the conditions that were raised and have not ended, for a process that has
// just started and does not know what was raised before. It lists the open notices and reads those
// of conditions, which never change: known, if not nil, remembers them from one call to the next.
// An ErrCorrupt comes with all conditions but those that cannot be read.
func (o Outbox) Unresolved(ctx context.Context, namespace string, known map[string]Alert) ([]Alert, error) {
	names, err := o.Store.Outbox(namespace).Open(ctx)
	if err != nil {
		return nil, err
	}
	open := setOf(names)
	maps.DeleteFunc(known, func(name string, _ Alert) bool { return !open[name] })
	var lasting []Alert
	var corrupt []error
	for _, name := range names {
		if !kindOf(name).Ends() {
			continue
		}
		a, isKnown := known[name]
		err := error(nil)
		if !isKnown {
			a, err = o.raised(ctx, namespace, name)
		}
		switch {
		case errors.Is(err, auditstore.ErrNotFound):
			continue // removed meanwhile
		case errors.Is(err, auditstore.ErrCorrupt):
			corrupt = append(corrupt, err)
			continue
		case err != nil:
			return nil, err
		}
		if known != nil {
			known[name] = a
		}
		if !a.Resolved() && !open[a.endName()] {
			lasting = append(lasting, a)
		}
	}
	return lasting, errors.Join(corrupt...)
}

// put writes a notice unless it is open or was closed before.
func (o Outbox) put(ctx context.Context, a Alert) (created bool, err error) {
	box := o.Store.Outbox(a.Namespace)
	name := a.noticeName()
	if _, err := box.Closed(ctx, name); !errors.Is(err, auditstore.ErrNotFound) {
		return false, err
	}
	data, err := json.Marshal(a)
	if err != nil {
		return false, err
	}
	return box.Put(ctx, name, data)
}

// raised returns the alert in a notice that is open or closed. It looks for the closed one last, so
// that a notice closed between the two reads is found.
func (o Outbox) raised(ctx context.Context, namespace, name string) (Alert, error) {
	box := o.Store.Outbox(namespace)
	data, err := box.Notice(ctx, name)
	if errors.Is(err, auditstore.ErrNotFound) {
		data, err = box.Closed(ctx, name)
	}
	if err != nil {
		return Alert{}, err
	}
	a, err := decode(namespace, name, data)
	if err != nil {
		return Alert{}, fmt.Errorf("notice %s of %q: %w: %w", name, namespace, auditstore.ErrCorrupt, err)
	}
	return a, nil
}

func setOf(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}
