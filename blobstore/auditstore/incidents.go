package auditstore

import (
	"bytes"
	"context"
	"errors"
	"iter"
)

// Incidents is the part of the audit store that holds what is wrong with a log, by name. Its layout
// is
//
//	{namespace}/incidents/open/{name}.json           it is so, or was and nobody can undo it
//	{namespace}/incidents/acknowledged/{name}.json   somebody has dealt with it; stays
//	{namespace}/incidents/ended/{name}.json          a condition that is over; stays
//	{namespace}/incidents/complete.json              alerts of older versions are among these
//
// Everything is created once and never changed. Only what has ended is ever removed from the open
// ones, and whoever says that it has needs the right to delete there. What the objects say is left
// to others.
type Incidents struct{ records }

// Incidents are those of a namespace, which is checked by each call.
func (s *Store) Incidents(namespace string) Incidents {
	return Incidents{records{s, namespace, "incidents"}}
}

// Put opens an incident, once: one that is open already stays.
func (i Incidents) Put(ctx context.Context, name string, incident []byte) error {
	_, err := i.create(ctx, incident, "open", name)
	return err
}

// OpenNames yields the names of the open incidents in the order of their keys, however many.
func (i Incidents) OpenNames(ctx context.Context) iter.Seq2[string, error] {
	return i.names(ctx, "open")
}

// Incident returns an open incident; ErrNotFound if it is not open.
func (i Incidents) Incident(ctx context.Context, name string) ([]byte, error) {
	return i.read(ctx, "open", name)
}

// PutAcknowledgement records, once, that somebody has dealt with an incident. It returns the
// acknowledgement on record, and whether that is the caller's.
func (i Incidents) PutAcknowledgement(ctx context.Context, name string, data []byte) (recorded []byte, created bool, err error) {
	if created, err = i.create(ctx, data, "acknowledged", name); err != nil || created {
		return data, created, err
	}
	recorded, err = i.Acknowledgement(ctx, name)
	return recorded, err == nil && bytes.Equal(recorded, data), err // an answer may have been lost
}

// AcknowledgedNames yields the names of the acknowledged incidents, as OpenNames does.
func (i Incidents) AcknowledgedNames(ctx context.Context) iter.Seq2[string, error] {
	return i.names(ctx, "acknowledged")
}

// Acknowledgement returns that of an incident; ErrNotFound if there is none.
func (i Incidents) Acknowledgement(ctx context.Context, name string) ([]byte, error) {
	return i.read(ctx, "acknowledged", name)
}

// End keeps a record of a condition that is over and takes it out of the open ones. If it ended
// before, that record stays.
//
// A crash between the two steps leaves it open and ended: so does whoever opens it a moment after
// it ended. The record counts, and whoever finds both ends it again.
func (i Incidents) End(ctx context.Context, name string, record []byte) error {
	if _, err := i.create(ctx, record, "ended", name); err != nil {
		return err
	}
	return i.remove(ctx, "open", name)
}

// Ended returns what a condition was ended with; ErrNotFound if it has not ended.
func (i Incidents) Ended(ctx context.Context, name string) ([]byte, error) {
	return i.read(ctx, "ended", name)
}

// MarkComplete records that whatever the outbox had when older versions wrote only there is among
// the incidents.
func (i Incidents) MarkComplete(ctx context.Context) error {
	_, err := i.create(ctx, []byte("{}\n"), "complete")
	return err
}

// Complete reports whether MarkComplete was called.
func (i Incidents) Complete(ctx context.Context) (bool, error) {
	_, err := i.read(ctx, "complete")
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
