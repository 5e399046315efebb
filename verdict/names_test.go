package verdict

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// The checks by hand say what regular expressions say, of every byte at every place that counts.
func TestChecksByHand(t *testing.T) {
	t.Parallel()
	segment, hex64 := regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$`), regexp.MustCompile(`^[0-9a-f]{64}$`)
	texts := []string{"", ".", "..", "a..b", "a.b", "\n", "a\n", "é", strings.Repeat("a", 128), strings.Repeat("a", 129)}
	for _, n := range []int{1, 2, 63, 64, 65} {
		for c := range 256 {
			for _, at := range []int{0, n / 2, n - 1} {
				s := []byte(strings.Repeat("a", n))
				s[at] = byte(c)
				texts = append(texts, string(s))
			}
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		s := make([]byte, random.IntN(5))
		for i := range s {
			s[i] = ".-_aZ0/\x00"[random.IntN(8)]
		}
		texts = append(texts, string(s), fmt.Sprintf("%064x", random.Uint64()))
	}
	for _, s := range texts {
		if want := segment.MatchString(s) && !strings.Contains(s, ".."); isSegment(s) != want {
			t.Errorf("%q is a part of a key: %t, want %t", s, !want, want)
		}
		if want := hex64.MatchString(s); isHex(s, 64) != want {
			t.Errorf("%q is 64 hexadecimal digits: %t, want %t", s, !want, want)
		}
	}
}
