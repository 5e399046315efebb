package validator_test

import (
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/validator"
)

func TestIncompleteConfigurationsAreErrors(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]validator.Configuration{
		"no configuration is given": {},
		"needs its domain label":    validator.Experimental(""),
	} {
		r, err := validator.Verify(t.Context(), validator.Name{Epoch: 1}, strings.NewReader(""), c, validator.Options{})
		if err == nil || !strings.Contains(err.Error(), want) || r != (validator.Result{}) {
			t.Errorf("configuration %q: %+v, %v, want an error with %q", c, r, err, want)
		}
	}
}

func TestConfigurations(t *testing.T) {
	t.Parallel()
	for s, valid := range map[string]bool{
		"whatsapp_v1": true, "experimental:ExampleLabel": true, "experimental:a:b": true,
		"": false, "experimental": false, "experimental:": false, "whatsapp_v2": false, "whatsapp_v1:x": false, "WhatsApp_v1": false,
	} {
		c, err := validator.ParseConfiguration(s)
		if (err == nil) != valid {
			t.Errorf("%q: %v", s, err)
		}
		if err == nil && c.String() != s {
			t.Errorf("%q came back as %q", s, c)
		}
	}
}
