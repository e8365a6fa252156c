// Package nearest finds the word a person most likely meant.
package nearest

// Of returns the candidate with the smallest edit distance to word, or "" when none is near: at most a third of the
// word's length, and at least 1.
func Of(word string, candidates []string) string {
	best, bound := "", max(1, len(word)/3)
	for _, c := range candidates {
		if d := distance(word, c, bound); d <= bound && c != word {
			best, bound = c, d-1
		}
	}
	return best
}

// distance is the edit distance of a and b, two letters that changed places counting as one edit, or bound+1 when it
// is larger than bound.
func distance(a, b string, bound int) int {
	if len(a)-len(b) > bound || len(b)-len(a) > bound {
		return bound + 1
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
