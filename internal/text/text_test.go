package text_test

import (
	"strings"
	"testing"
	"unicode/utf8"

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

func TestClean(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, s string
		limit   int
		want    string
	}{
		{"empty", "", 3, ""},
		{"plain", "epoch 7: ä “x”", 40, "epoch 7: ä “x”"},
		{"at the limit", "abcdef", 6, "abcdef"},
		{"over the limit", "abcdefg", 6, "abc…"},
		{"a line", "a\nb", 9, `a\nb`},
		{"a terminal's command", "\x1b[2J", 9, `\x1b[2J`},
		{"right to left", "a\u202eb", 9, `a\u202eb`},
		{"isolated", "\u2066a\u2069", 20, `\u2066a\u2069`},
		{"a line of another kind", "\u2028", 9, `\u2028`},
		{"no width", "\ufeff\u200b", 12, `\ufeff\u200b`},
		{"not UTF-8", "a\xffb", 6, "a?b"},
		{"escaping makes it too long", "ab\x1bcd", 6, "ab…"},
		{"an escape is not cut", "abcd\x1b", 7, "abcd…"},
		{"cut within a character", "abäöü", 6, "ab…"},
		{"no half character becomes ?", "abcdefgä", 8, "abcde…"},
	} {
		if got := text.Clean(c.s, c.limit); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\x1b[2J\u202eä\xff", 5)
	f.Add(strings.Repeat("ä", 100), 30)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = max(len(text.Mark), min(limit, 1000))
		got := text.Clean(s, limit)
		if len(got) > limit || !utf8.ValidString(got) {
			t.Fatalf("%q in %d bytes gives %q", s, limit, got)
		}
		if again := text.Clean(got, limit); again != got {
			t.Fatalf("%q gives %q and then %q", s, got, again)
		}
	})
}
