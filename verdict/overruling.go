package verdict

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxOverrulings is how often one epoch can be overruled.
const MaxOverrulings = 999

// The longest texts of an Overruling, in bytes.
const (
	maxBy     = 100
	maxReason = 1900
)

// Overruling is a later verdict on an epoch, which counts instead of those before it. An operator
// asks for one whose own mistake, such as a wrong key, had led to the verdict on record. Both stay.
type Overruling struct {
	Schema    int       `json:"schema"`
	Namespace string    `json:"namespace"`
	Epoch     uint64    `json:"epoch"`
	Number    uint64    `json:"number"` // 1 for the first of the epoch
	By        string    `json:"by"`     // who asked for it
	Reason    string    `json:"reason"` // and why
	At        time.Time `json:"at"`
	// Overruled is the verdict that counted before.
	Overruled Overruled `json:"overruled"`
	Verdict   Verdict   `json:"verdict"`
}

// Overruled says what counted before an overruling.
type Overruled struct {
	Outcome string `json:"outcome"`
	Reason  Reason `json:"reason,omitempty"`
	SHA256  string `json:"sha256"` // of the epoch's first verdict as it is stored, hexadecimal
}

// Validate returns why o may not be recorded, or nil.
func (o Overruling) Validate() error {
	if o.Schema != Schema {
		return fmt.Errorf("schema %d: this program knows schema %d", o.Schema, Schema)
	}
	if err := CheckOverruling(o.By, o.Reason); err != nil {
		return err
	}
	switch {
	case o.Number == 0 || o.Number > MaxOverrulings:
		return fmt.Errorf("overruling %d: want 1 to %d", o.Number, MaxOverrulings)
	case o.Verdict.Namespace != o.Namespace || o.Verdict.Epoch != o.Epoch:
		return fmt.Errorf("a verdict on epoch %d of %q", o.Verdict.Epoch, o.Verdict.Namespace)
	case o.Overruled.Outcome != Verified && o.Overruled.Outcome != Rejected || !isHex(o.Overruled.SHA256, 64):
		return fmt.Errorf("overrules %.80q, %.80q", o.Overruled.Outcome, o.Overruled.SHA256)
	}
	return o.Verdict.Validate()
}

// CheckOverruling returns what is wrong with the name of who overrules and with the reason, or nil.
func CheckOverruling(by, why string) error {
	for _, t := range []struct {
		what, text string
		limit      int
	}{{"name", by, maxBy}, {"reason", why, maxReason}} {
		switch {
		case strings.TrimSpace(t.text) == "":
			return fmt.Errorf("the %s is empty", t.what)
		case len(t.text) > t.limit:
			return fmt.Errorf("the %s has %d bytes, the limit is %d", t.what, len(t.text), t.limit)
		case !utf8.ValidString(t.text) || strings.ContainsFunc(t.text, unicode.IsControl):
			return fmt.Errorf("the %s has line breaks or control characters", t.what)
		}
	}
	return nil
}
