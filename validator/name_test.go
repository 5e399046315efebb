package validator_test

import (
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/validator"
)

func TestNames(t *testing.T) {
	t.Parallel()
	d1, d2 := strings.Repeat("0a", 32), strings.Repeat("f9", 32)
	for s, valid := range map[string]bool{
		"1/" + d1 + "/" + d2:                      true,
		"18446744073709551615/" + d1 + "/" + d1:   true,
		"18446744073709551616/" + d1 + "/" + d1:   false,
		"0/" + d1 + "/" + d2:                      false,
		"01/" + d1 + "/" + d2:                     false,
		"+1/" + d1 + "/" + d2:                     false,
		"1/" + d1 + "/" + strings.ToUpper(d2):     false,
		"1/" + d1[1:] + "/" + d2:                  false,
		"1/" + d1:                                 false,
		"1/" + d1 + "/" + d2 + "/":                false,
		"/1/" + d1 + "/" + d2:                     false,
		"":                                        false,
		"1/" + strings.Repeat("g", 64) + "/" + d2: false,
		"1/" + strings.Repeat("ä", 32) + "/" + d2: false,
		"1/" + d1 + "/" + d2 + "\n":               false,
		"１/" + d1 + "/" + d2:                      false,
	} {
		n, err := validator.ParseName(s)
		if (err == nil) != valid {
			t.Errorf("%q: %v", s, err)
		}
		if err == nil && n.String() != s {
			t.Errorf("%q came back as %q", s, n)
		}
	}
}
