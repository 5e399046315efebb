// Package validator decides whether one epoch of a Key Transparency log only appended to the log's tree.
//
// It is pure: bytes in, a Result out. It does no I/O of its own, knows no queue, keeps no globals and logs nothing,
// so that any Go program can import it.
package validator

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ktaudit/ktaudit/verdict"
)

// Outcome is what a proof was found to be. The zero Outcome is neither: it means that nothing was judged.
type Outcome string

const (
	Verified Outcome = "verified"
	Rejected Outcome = "rejected"
)

const whatsAppV1 = "whatsapp_v1"

// Configuration is the hash layout of a log's tree. The zero value is not a configuration.
type Configuration struct {
	name   string
	domain string
}

// WhatsAppV1 is the layout of the WhatsApp and Messenger logs.
func WhatsAppV1() Configuration { return Configuration{name: whatsAppV1} }

// Experimental is akd's experimental layout, whose every hash begins with the given domain label.
func Experimental(domainLabel string) Configuration {
	return Configuration{name: "experimental", domain: domainLabel}
}

// ParseConfiguration reads "whatsapp_v1" or "experimental:DOMAIN LABEL".
func ParseConfiguration(s string) (Configuration, error) {
	name, domain, hasDomain := strings.Cut(s, ":")
	switch {
	case name == whatsAppV1 && !hasDomain:
		return WhatsAppV1(), nil
	case name == "experimental" && domain != "":
		return Experimental(domain), nil
	case name == "experimental":
		return Configuration{}, fmt.Errorf("configuration experimental needs its domain label: experimental:LABEL")
	}
	return Configuration{}, fmt.Errorf("unknown configuration %q: want whatsapp_v1 or experimental:LABEL", s)
}

// String returns what ParseConfiguration reads.
func (c Configuration) String() string {
	if c.domain != "" {
		return c.name + ":" + c.domain
	}
	return c.name
}

// Options bound what one verification may use. The zero value has usable defaults.
type Options struct {
	// MaxElements is how many elements, inserted and unchanged together, a proof may have. 0 means 32 Mi.
	MaxElements int
	// MaxBytes is how many bytes a proof may have. 0 means 2 GiB.
	MaxBytes int64
	// Ordered says to expect the elements in the order that akd writes them in: the inserted ones, then the unchanged
	// ones, each in at most a few ascending stretches. What was hashed is then forgotten, so that memory is about the
	// inserted elements' bytes. If the order turns out to be another, Verify returns ErrUnordered.
	Ordered bool
	// Workers is how many goroutines may hash at once. 0 means GOMAXPROCS.
	Workers int
}

// ErrUnordered means that the proof could not be judged with Options.Ordered. Call Verify again without it, with a reader
// of the same proof from its beginning.
var ErrUnordered = errors.New("the proof's elements do not come in the expected order")

// Result is the judgement of one proof. Inserted, Unchanged and Bytes count what was read before the judgement fell.
type Result struct {
	Outcome Outcome
	// Reason and Detail explain a rejection; both are empty for a verified proof. Detail is one line for a human.
	Reason verdict.Reason
	Detail string

	Inserted  int
	Unchanged int
	Bytes     int64
}
