package alert

import (
	"strings"

	"github.com/ktaudit/ktaudit/internal/text"
)

// cleanLines returns a text of one or more lines in at most limit bytes, in which nothing but the
// ends of lines does anything to a terminal or a chat: it may come from a log.
func cleanLines(s string, limit int) string {
	var lines []string
	for line := range strings.SplitSeq(text.Cut(s, limit), "\n") {
		lines = append(lines, text.Clean(line, limit))
	}
	return text.Cut(strings.Join(lines, "\n"), limit)
}
