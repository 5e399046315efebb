// Package text makes texts from elsewhere safe to keep and to show.
//
// It promises valid UTF-8 that keeps to a number of bytes and, after Clean, can do nothing to a
// terminal or a chat. Which texts to treat so, and to what length, is the caller's decision.
package text

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Mark ends a text that was cut.
const Mark = "…"

// Cut returns s in at most limit bytes of valid UTF-8. Bytes that are not UTF-8 become question
// marks; what is longer is cut between characters and ends in Mark. The limit is at least
// len(Mark).
func Cut(s string, limit int) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit-len(Mark)], "") + Mark
}

// Clean returns s, which a log, a store or a client chose, as one line in at most limit bytes.
// Whatever is not printed as itself, such as control characters and those that change the direction
// of writing, is escaped as in a Go string: \n, \x1b, \u202e. The limit is at least len(Mark). Work
// and memory are bound by the limit, not by s.
func Clean(s string, limit int) string {
	cut := len(s) > limit
	if cut {
		s = s[:limit]
		for i := 1; i < utf8.UTFMax && i <= len(s); i++ { // no half of a character at the end
			if utf8.RuneStart(s[len(s)-i]) {
				if !utf8.FullRuneInString(s[len(s)-i:]) {
					s = s[:len(s)-i]
				}
				break
			}
		}
	}
	var b strings.Builder
	last := 0 // the length before Mark has no room behind it
	for _, r := range strings.ToValidUTF8(s, "?") {
		piece := string(r)
		if !strconv.IsPrint(r) {
			piece = strconv.QuoteRune(r)
			piece = piece[1 : len(piece)-1]
		}
		if b.Len()+len(piece) > limit {
			cut = true
			break
		}
		b.WriteString(piece)
		if b.Len() <= limit-len(Mark) {
			last = b.Len()
		}
	}
	if cut {
		return b.String()[:last] + Mark
	}
	return b.String()
}

// CleanLines returns a text of one or more lines in at most limit bytes, in which nothing but the
// ends of lines does anything to a terminal or a chat: it may come from a log.
func CleanLines(s string, limit int) string {
	var lines []string
	for line := range strings.SplitSeq(Cut(s, limit), "\n") {
		lines = append(lines, Clean(line, limit))
	}
	return Cut(strings.Join(lines, "\n"), limit)
}
