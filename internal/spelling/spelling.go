// Package spelling finds the word that was meant, for errors that suggest it.
package spelling

import "strings"

// longest is the longest word that is taken for a misspelled one.
const longest = 40

// Closest returns the known word that a misspelled one is closest to, whatever its case; empty if it is not close to any. Of two
// that are as close it is the first.
func Closest(word string, known []string) string {
	if len(word) > longest {
		return ""
	}
	word = strings.ToLower(word)
	best, least := "", 2+len(word)/4
	for _, k := range known {
		if d := distance(word, strings.ToLower(k)); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is how many letters must be changed, added or dropped to turn a into b, counted in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := diagonal
			if a[i] != b[j] {
				changed++
			}
			diagonal = row[j+1]
			row[j+1] = min(changed, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
