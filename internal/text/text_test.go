package text_test

import (
	"testing"

	"github.com/ktaudit/ktaudit/internal/text"
)

func TestCut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, s string
		limit   int
		want    string
	}{
		{"empty", "", 3, ""},
		{"at the limit", "abcdef", 6, "abcdef"},
		{"over the limit", "abcdefg", 6, "abc…"},
		{"no room but for the mark", "abcd", 3, "…"},
		{"cut within a character", "abäöü", 6, "ab…"},
		{"cut between characters", "aäöüx", 6, "aä…"},
		{"not UTF-8", "a\xffb", 6, "a?b"},
		{"not UTF-8 and over the limit", "abc\xffefgh", 7, "abc?…"},
	} {
		if got := text.Cut(c.s, c.limit); got != c.want || len(got) > c.limit {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
