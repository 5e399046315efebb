package units

import (
	"testing"
	"time"
)

func TestParseLag(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Lag{
		"20":   {Epochs: 20},
		"15m":  {Age: 15 * time.Minute},
		"1h5m": {Age: 65 * time.Minute},
	} {
		got, err := ParseLag(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%q: %+v, written %s, error %v; want %+v", text, got, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "0s", "-5", "5 epochs", "1.5h", "99999999999999999999", "many"} {
		if got, err := ParseLag(text); err == nil {
			t.Errorf("%q is read as %+v", text, got)
		}
	}
	if got := (Lag{}).String(); got != "never" {
		t.Errorf("no bound is written %s", got)
	}
}
