package alert

import (
	"strings"
	"unicode"
)

// shorten returns s in at most limit bytes of valid UTF-8. What is cut off is marked by "…".
func shorten(s string, limit int) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= limit {
		return s
	}
	const mark = "…"
	return strings.ToValidUTF8(s[:limit-len(mark)], "") + mark
}

// oneLine replaces control characters, which would break a line or confuse a terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}
