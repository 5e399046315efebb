package validator

import (
	"errors"
	"fmt"
	"strings"
)

// Configuration is the hash layout of a log's tree. Configurations can be compared with ==. The
// zero value is not a configuration, and Verify refuses it.
type Configuration struct {
	kind   *configurationKind
	domain string // the domain label; empty unless kind.takesDomain
}

// configurationKind is a family of configurations that differ in their domain label only.
type configurationKind struct {
	name        string // as ParseConfiguration reads it
	takesDomain bool
	// newLayout makes the layout for the proof of one epoch.
	newLayout func(domain string, epoch uint64) layout
}

// configurationKinds are all that ParseConfiguration knows.
var configurationKinds = []*configurationKind{whatsAppKind, experimentalKind}

// WhatsAppV1 is the configuration of the WhatsApp and Messenger logs: akd's
// WhatsAppV1Configuration.
func WhatsAppV1() Configuration { return Configuration{kind: whatsAppKind} }

// Experimental is akd's ExperimentalConfiguration, in which every hash begins with the given domain
// label. The label must not be empty.
func Experimental(domainLabel string) Configuration {
	return Configuration{kind: experimentalKind, domain: domainLabel}
}

// ConfigurationKinds returns the forms that ParseConfiguration reads: "whatsapp_v1" and
// "experimental:LABEL", where LABEL stands for any domain label.
func ConfigurationKinds() []string {
	var forms []string
	for _, kind := range configurationKinds {
		forms = append(forms, kind.syntax())
	}
	return forms
}

// ParseConfiguration reads one of ConfigurationKinds, such as "experimental:ExampleLabel".
func ParseConfiguration(s string) (Configuration, error) {
	name, domain, hasDomain := strings.Cut(s, ":")
	for _, kind := range configurationKinds {
		if kind.name != name || hasDomain && !kind.takesDomain {
			continue
		}
		c := Configuration{kind: kind, domain: domain}
		if err := c.validate(); err != nil {
			return Configuration{}, err
		}
		return c, nil
	}
	return Configuration{}, fmt.Errorf("unknown configuration %q: want %s", s, strings.Join(ConfigurationKinds(), " or "))
}

// syntax is the form that ParseConfiguration reads.
func (k *configurationKind) syntax() string {
	if k.takesDomain {
		return k.name + ":LABEL"
	}
	return k.name
}

// String returns what ParseConfiguration reads; empty for the zero value.
func (c Configuration) String() string {
	switch {
	case c.kind == nil:
		return ""
	case c.kind.takesDomain:
		return c.kind.name + ":" + c.domain
	}
	return c.kind.name
}

// validate returns an error for the zero value and for a missing domain label.
func (c Configuration) validate() error {
	switch {
	case c.kind == nil:
		return errors.New("no configuration is given")
	case c.kind.takesDomain && c.domain == "":
		return fmt.Errorf("configuration %s needs its domain label: %s", c.kind.name, c.kind.syntax())
	}
	return nil
}
