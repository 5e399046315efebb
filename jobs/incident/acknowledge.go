package incident

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/text"
)

// The longest texts of an acknowledgement, in bytes.
const (
	MaxByBytes     = 100
	MaxReasonBytes = 2000
)

// ErrNotOpen says that no incident of that name is open.
var ErrNotOpen = errors.New("no such incident is open")

// Acknowledgement says that somebody knows of an incident and has dealt with it.
type Acknowledgement struct {
	Namespace string    `json:"namespace"`
	Incident  string    `json:"incident"`
	By        string    `json:"by"`
	Reason    string    `json:"reason"`
	At        time.Time `json:"at"`
}

// Acknowledge records that somebody has dealt with an open incident, once. It returns the
// acknowledgement on record, and whether that is the one that was given: of several at the same
// time one is recorded, and all return that one. ErrNotOpen if the incident is not open.
//
// It is one write. Of an incident that only the outbox knows, as in stores of older versions, the
// object is written before; a crash between the two leaves it open.
func (r Recorder) Acknowledge(ctx context.Context, a Acknowledgement) (recorded Acknowledgement, created bool, err error) {
	if a, err = a.complete(); err != nil {
		return Acknowledgement{}, false, err
	}
	incidents, name := r.Store.Incidents(a.Namespace), objectName(a.Incident)
	_, err = incidents.Incident(ctx, name)
	if errors.Is(err, auditstore.ErrNotFound) {
		err = r.openRaised(ctx, a.Namespace, a.Incident)
	}
	if err != nil && !errors.Is(err, auditstore.ErrCorrupt) {
		return Acknowledgement{}, false, err
	}
	data, err := json.Marshal(a)
	if err != nil {
		return Acknowledgement{}, false, err
	}
	data, created, err = incidents.PutAcknowledgement(ctx, name, data)
	if err != nil {
		return Acknowledgement{}, false, err
	}
	recorded, err = decodeAcknowledgement(a.Namespace, a.Incident, data)
	return recorded, created, err
}

// complete checks what a person wrote.
func (a Acknowledgement) complete() (Acknowledgement, error) {
	if a.At.IsZero() {
		a.At = time.Now()
	}
	a.At = a.At.UTC()
	for _, field := range []struct {
		name  string
		value *string
		limit int
	}{{"by", &a.By, MaxByBytes}, {"reason", &a.Reason, MaxReasonBytes}} {
		*field.value = strings.TrimSpace(*field.value)
		if n := len(*field.value); n == 0 || n > field.limit {
			return a, fmt.Errorf("acknowledgement of %.200q: %s has %d bytes: want 1 to %d", a.Incident, field.name, n, field.limit)
		}
		*field.value = text.Clean(*field.value, field.limit)
	}
	return a, nil
}

func decodeAcknowledgement(namespace, incident string, data []byte) (Acknowledgement, error) {
	var a Acknowledgement
	err := json.Unmarshal(data, &a)
	if err == nil && (a.Namespace != namespace || a.Incident != incident) {
		err = errors.New("it is of another incident")
	}
	if err == nil {
		a, err = a.complete()
	}
	if err != nil {
		return Acknowledgement{}, fmt.Errorf("acknowledgement of %s: %w: %w", incident, auditstore.ErrCorrupt, err)
	}
	return a, nil
}

// openRaised puts an incident that the outbox knows among the open ones; ErrNotOpen if it knows
// none, or one that has ended.
func (r Recorder) openRaised(ctx context.Context, namespace, incident string) error {
	a, err := r.readRaised(ctx, namespace, incident)
	if err != nil {
		return err
	}
	return r.open(ctx, a)
}

// readRaised returns an incident that is open as far as the outbox knows.
func (r Recorder) readRaised(ctx context.Context, namespace, incident string) (alert.Alert, error) {
	all, err := readRaised(ctx, r.Store, namespace)
	if err == nil && !all.open[incident] {
		err = fmt.Errorf("%.200q of %s: %w", incident, namespace, ErrNotOpen)
	}
	if err != nil {
		return alert.Alert{}, err
	}
	return r.Outbox().Raised(ctx, namespace, incident)
}
