package cmdkit

import (
	"strings"

	"github.com/wherry-containers/wherry/pkg/nearest"
)

// Suggest returns ` (did you mean "X"?)` for the candidate a person most likely meant, or "". Two swapped letters
// count as one mistake, and an unfinished word means the one candidate that it begins.
func Suggest(word string, candidates []string, prefix string) string {
	best := swapped(word, candidates)
	if best == "" {
		best = nearest.Of(word, candidates)
	}
	if best == "" {
		best = unfinished(word, candidates)
	}
	if best == "" {
		return ""
	}
	return ` (did you mean "` + prefix + best + `"?)`
}

func swapped(word string, candidates []string) string {
	for i := 0; i+1 < len(word); i++ {
		other := word[:i] + word[i+1:i+2] + word[i:i+1] + word[i+2:]
		for _, c := range candidates {
			if c == other && c != word {
				return c
			}
		}
	}
	return ""
}

func unfinished(word string, candidates []string) string {
	found := ""
	for _, c := range candidates {
		if len(word) < 2 || !strings.HasPrefix(c, word) {
			continue
		}
		if found != "" {
			return ""
		}
		found = c
	}
	return found
}
