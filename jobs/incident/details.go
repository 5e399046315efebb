package incident

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
)

// maxEvidence is how many objects of evidence Details name.
const maxEvidence = 100

// Details are all that is on record of an incident.
type Details struct {
	Open
	// Ended: the condition is over, and the incident is open no more.
	Ended bool `json:"ended,omitempty"`
	// Alert is nil if the object cannot be read; Error then says why.
	Alert           *alert.Alert     `json:"alert,omitempty"`
	Acknowledgement *Acknowledgement `json:"acknowledgement,omitempty"`
	// Evidence are the keys of the evidence on the epoch, the first 100.
	Evidence []string `json:"evidence,omitempty"`
	// Error says which objects of the incident cannot be read.
	Error string `json:"error,omitempty"`
}

// ReadDetails reads what is on record of an incident, whether it is open or has ended; ErrNotOpen
// if there never was one of that name. An object that is damaged is told of in Error and hides
// nothing else.
func ReadDetails(ctx context.Context, store *auditstore.Store, namespace, incident string) (Details, error) {
	d := Details{Open: openOf(incident)}
	incidents, name := store.Incidents(namespace), objectName(incident)
	data, err := incidents.Incident(ctx, name)
	if errors.Is(err, auditstore.ErrNotFound) {
		data, err = incidents.Ended(ctx, name)
		d.Ended = err == nil
	}
	if errors.Is(err, auditstore.ErrNotFound) {
		var a alert.Alert
		if a, err = (Recorder{Store: store}).readRaised(ctx, namespace, incident); err == nil {
			data, err = json.Marshal(a)
		}
	}
	var corrupt []error
	if err == nil {
		var a alert.Alert
		if a, err = alert.Decode(namespace, incident, data); err != nil {
			err = fmt.Errorf("incident %.200q of %s: %w: %w", incident, namespace, auditstore.ErrCorrupt, err)
		} else {
			d.Alert = &a
		}
	}
	if errors.Is(err, auditstore.ErrCorrupt) {
		corrupt, err = append(corrupt, err), nil
	}
	if err != nil {
		return Details{}, err
	}
	if data, err = incidents.Acknowledgement(ctx, name); err == nil {
		var a Acknowledgement
		d.Acknowledged = true
		if a, err = decodeAcknowledgement(namespace, incident, data); err == nil {
			d.Acknowledgement = &a
		}
	}
	if errors.Is(err, auditstore.ErrCorrupt) {
		d.Acknowledged = true // by somebody
		corrupt = append(corrupt, err)
	} else if err != nil && !errors.Is(err, auditstore.ErrNotFound) {
		return Details{}, err
	}
	at := d.From
	if at == 0 && d.Alert != nil { // it is about no epoch, and its evidence stands at one
		at = d.Alert.Epoch
	}
	if at > 0 && d.From == d.To {
		if d.Evidence, err = store.EvidenceKeys(ctx, namespace, at, maxEvidence); err != nil {
			return Details{}, err
		}
	}
	if err := errors.Join(corrupt...); err != nil {
		d.Error = err.Error()
	}
	return d, nil
}
