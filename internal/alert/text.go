package alert

import (
	"strings"
	"unicode"
)

// oneLine replaces control characters, which would break a line or confuse a terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}
