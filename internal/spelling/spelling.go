// Package spelling tells how alike two words are, for errors that suggest the word that was meant. Which words are alike
// enough is for the caller to say.
package spelling

// Distance is how many letters must be changed, added or dropped to turn a into b, counted in bytes.
func Distance(a, b string) int {
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
