package verdict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Why an epoch has an Absence in place of a verdict.
const (
	Acknowledged = "acknowledged"  // a person said on record that it was never published
	NotPublished = "not_published" // it was not there for as long as the configuration allows
)

// Absence says that a log never published an epoch, so that what stands for the epoch in the
// auditor's own log need not wait for it. It accuses nobody: an epoch that comes all the same is
// audited as any other. Like a verdict it is written once and never changed.
type Absence struct {
	Schema    int    `json:"schema"`
	Namespace string `json:"namespace"`
	Epoch     uint64 `json:"epoch"`
	Absent    string `json:"absent"` // Acknowledged or NotPublished
	// By and Reason are who acknowledged it, and why.
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Since is when it was first looked for in vain; zero where that is not known.
	Since time.Time `json:"since,omitzero"`
	At    time.Time `json:"at"`
}

// MaxAbsenceBytes caps the object of an Absence.
const MaxAbsenceBytes = 16 << 10

// Validate returns why a may not be recorded, or nil.
func (a Absence) Validate() error {
	if a.Schema != Schema {
		return fmt.Errorf("schema %d: this program knows schema %d", a.Schema, Schema)
	}
	if err := CheckKey(a.Namespace, a.Epoch); err != nil {
		return err
	}
	switch {
	case a.Absent != Acknowledged && a.Absent != NotPublished:
		return fmt.Errorf("absent %.80q is neither %q nor %q", a.Absent, Acknowledged, NotPublished)
	case a.Absent == NotPublished && (a.By != "" || a.Reason != ""):
		return errors.New("nobody acknowledges what the configuration decides")
	case a.At.IsZero():
		return errors.New("it lacks the time")
	case a.Absent == Acknowledged:
		return CheckOverruling(a.By, a.Reason)
	}
	return nil
}

// Encode returns the bytes of a's object: one JSON object on one line.
func (a Absence) Encode() ([]byte, error) {
	if err := a.Validate(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(a); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// DecodeAbsence reads what Encode wrote, or what a later program with the same schema did: unknown
// fields are skipped. What a verdict's object holds is none.
func DecodeAbsence(b []byte) (Absence, error) {
	var a Absence
	if len(b) > MaxAbsenceBytes {
		return a, fmt.Errorf("%d bytes, the limit is %d", len(b), MaxAbsenceBytes)
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return Absence{}, err
	}
	if a.Schema > Schema {
		return Absence{}, fmt.Errorf("%w %d: this program knows schema %d", ErrNewerSchema, a.Schema, Schema)
	}
	if err := a.Validate(); err != nil {
		return Absence{}, err
	}
	return a, nil
}
