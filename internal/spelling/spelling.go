// Package spelling finds the known word that a misspelled one probably stands for, for errors that
// suggest it. What is known, and how to word the suggestion, is left to the caller.
package spelling

import "strings"

// longest is up to how many bytes a word is compared.
const longest = 40

// Closest returns the known word that is closest to a misspelled one, in any case, or an empty
// string if none is close. Of two equally close words it returns the first.
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

// distance is how many bytes must be changed, added or dropped to turn a into b.
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
