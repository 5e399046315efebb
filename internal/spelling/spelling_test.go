package spelling

import (
	"strings"
	"testing"
)

func TestClosest(t *testing.T) {
	t.Parallel()
	known := []string{"rate", "region", "Prefix", "poll", "pole"}
	for word, want := range map[string]string{
		"rate": "rate", "rat": "rate", "RATE": "rate", "raet": "rate", "regoin": "region", "prefx": "Prefix",
		"pol": "poll", // or pole
		"":    "", "x": "", "contact": "", strings.Repeat("rate", 11): "",
	} {
		if got := Closest(word, known); got != want {
			t.Errorf("%q is taken for %q, want %q", word, got, want)
		}
	}
	if got := Closest("rate", nil); got != "" {
		t.Errorf("of no words %q is the closest", got)
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"rate", "rate", 0}, {"rat", "rate", 1}, {"raet", "rate", 2},
		{"kitten", "sitting", 3}, {"region", "regoin", 2},
	} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q to %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
