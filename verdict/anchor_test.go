package verdict_test

import (
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/verdict"
)

func TestParseAnchor(t *testing.T) {
	t.Parallel()
	digest := strings.Repeat("0a", 32)
	for s, want := range map[string]verdict.Anchor{
		"0/" + digest:                  {Digest: digest},
		"722605/" + digest:             {Epoch: 722605, Digest: digest},
		"7/" + strings.ToUpper(digest): {Epoch: 7, Digest: digest},
	} {
		got, err := verdict.ParseAnchor(s)
		if err != nil || got != want {
			t.Errorf("%q gives %+v, %v", s, got, err)
		}
		if again, err := verdict.ParseAnchor(got.String()); err != nil || again != got {
			t.Errorf("%q gives %+v, %v", got, again, err)
		}
		if got.DigestBefore(got.Epoch+1) != digest || got.DigestBefore(got.Epoch) != "" || got.DigestBefore(got.Epoch+2) != "" {
			t.Errorf("%q says something of another epoch than the one after it", s)
		}
	}
	for _, s := range []string{
		"", digest, "/" + digest, "7/", "07/" + digest, "+7/" + digest, "-1/" + digest, "x/" + digest, "7/" + digest + "00",
		"7/" + digest[1:], "7/g" + digest[1:], "7/" + digest + "/8", "18446744073709551615/" + digest, "99999999999999999999/" + digest,
	} {
		if got, err := verdict.ParseAnchor(s); err == nil {
			t.Errorf("%q gives %+v", s, got)
		}
	}
	if (verdict.Anchor{}).DigestBefore(1) != "" || (verdict.Anchor{}).String() != "" {
		t.Error("no anchor says something")
	}
}
