package verdict

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// NotPublished is the outcome of an Absence. No verdict has it.
const NotPublished = "not_published"

// MaxAbsenceBytes caps an absence, whose texts are as long as those of an overruling.
const MaxAbsenceBytes = 16 << 10

// Absence says that a log never published an epoch, as far as this auditor knows. It stands in the
// auditor's own log in the place of a verdict, so that the log goes on, and accuses nobody. Like a
// verdict it is written once and never changed.
type Absence struct {
	Schema    int       `json:"schema"`
	Namespace string    `json:"namespace"`
	Epoch     uint64    `json:"epoch"`
	Outcome   string    `json:"outcome"` // NotPublished
	By        string    `json:"by"`      // who says so: a person, or the rule in the configuration
	Reason    string    `json:"reason"`
	At        time.Time `json:"at"`
}

// Validate returns why a may not be recorded, or nil.
func (a Absence) Validate() error {
	if a.Schema != Schema {
		return fmt.Errorf("schema %d: this program knows schema %d", a.Schema, Schema)
	}
	if a.Outcome != NotPublished {
		return fmt.Errorf("outcome %.40q is not %q", a.Outcome, NotPublished)
	}
	if a.At.IsZero() || a.At.Location() != time.UTC {
		return errors.New("the time is missing, or not in UTC")
	}
	if err := CheckKey(a.Namespace, a.Epoch); err != nil {
		return err
	}
	return CheckOverruling(a.By, a.Reason) // as short and plain as those texts
}

// Encode returns the bytes of a's object: one JSON object on one line.
func (a Absence) Encode() ([]byte, error) {
	if err := a.Validate(); err != nil {
		return nil, err
	}
	data, err := json.Marshal(a)
	return append(data, '\n'), err
}

// DecodeAbsence reads what Encode wrote, or what a later program with the same schema did: unknown
// fields are skipped. A verdict's bytes are none.
func DecodeAbsence(b []byte) (Absence, error) {
	if len(b) > MaxAbsenceBytes {
		return Absence{}, fmt.Errorf("an absence of %d bytes, the limit is %d", len(b), MaxAbsenceBytes)
	}
	var a Absence
	if err := json.Unmarshal(b, &a); err != nil {
		var header struct {
			Schema int `json:"schema"`
		}
		if json.Unmarshal(b, &header) != nil || header.Schema <= Schema {
			return Absence{}, err
		}
		a.Schema = header.Schema
	}
	if a.Schema > Schema {
		return Absence{}, fmt.Errorf("%w %d: this program knows schema %d", ErrNewerSchema, a.Schema, Schema)
	}
	if err := a.Validate(); err != nil {
		return Absence{}, err
	}
	return a, nil
}
