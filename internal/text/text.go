// Package text cuts texts to a length.
//
// It promises valid UTF-8 that keeps to a number of bytes. Which texts to cut, and to what length,
// is the caller's decision.
package text

import "strings"

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
