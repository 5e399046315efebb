package validator_test

import (
	"bytes"
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

// ReadName takes what akd 0.13's AuditBlobName takes, and nothing else.
func TestReadName(t *testing.T) {
	t.Parallel()
	a, b := strings.Repeat("0a", 32), strings.Repeat("ff", 32)
	want := validator.Name{Epoch: 7, PreviousDigest: validator.Digest(bytes.Repeat([]byte{0x0a}, 32)), Digest: validator.Digest(bytes.Repeat([]byte{0xff}, 32))}
	for _, s := range []string{
		"7/" + a + "/" + b, "+7/" + a + "/" + b, "007/" + a + "/" + b, "+07/" + a + "/" + b,
		"7/" + strings.ToUpper(a) + "/" + b, "7/" + a + "/" + strings.ToUpper(b), "7/" + a + "/fF" + b[2:],
		"7/" + a + "/" + b + "/", "7/" + a + "/" + b + "/anything/at all", "7/" + a + "/" + b + "//",
	} {
		if got, err := validator.ReadName(s); err != nil || got != want {
			t.Errorf("%q gives %v, %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", "7", "7/" + a, "7//" + b, "/" + a + "/" + b, "+/" + a + "/" + b, "++7/" + a + "/" + b, "-7/" + a + "/" + b, " 7/" + a + "/" + b,
		"7_0/" + a + "/" + b, "0x7/" + a + "/" + b, "7/" + a[1:] + "/" + b, "7/" + a + "/" + b + ".zst", "7/" + a + "/g" + b[1:],
		"18446744073709551616/" + a + "/" + b, "7/" + a + "/" + b[:63] + " ", "7/" + a + "/" + b[:62] + "ä",
	} {
		if got, err := validator.ReadName(s); err == nil {
			t.Errorf("%q gives %v", s, got)
		}
	}
	if got, err := validator.ReadName("0/" + a + "/" + b); err != nil || got.Epoch != 0 {
		t.Errorf("epoch 0, which akd reads: %v, %v", got, err)
	}
}
