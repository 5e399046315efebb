package config

import "github.com/ktaudit/ktaudit/internal/spelling"

// closest returns the known word that a misspelled one is closest to; empty if it is not close to any.
func closest(word string, known []string) string {
	const longest = 40
	if len(word) > longest {
		return ""
	}
	best, least := "", 2+len(word)/4
	for _, k := range known {
		if d := spelling.Distance(word, k); d < least {
			best, least = k, d
		}
	}
	return best
}
