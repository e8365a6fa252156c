package store

import (
	"errors"
	"strings"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// notFound names the image that looks most like the one that is not here, and how to fetch what was asked for.
func notFound(ref string, q query, images []imageRecord) error {
	if len(q.names) == 0 {
		return errdefs.New(errdefs.ErrNotFound, "image %q is not here (wherry images --all --no-trunc lists the ids)", ref)
	}
	hint := ""
	if near := nearest(ref, images); near != "" {
		hint = " (did you mean \"" + near + "\"?)"
	}
	return errdefs.New(errdefs.ErrNotFound, "image %q is not here%s; wherry pull %s fetches it", ref, hint, ref)
}

// nearest is the known name with the least edit distance, if that is at most a third of the typed name.
func nearest(ref string, images []imageRecord) string {
	best, bestName := max(1, len(ref)/3)+1, ""
	typed := familiar(ref)
	for _, img := range images {
		for _, full := range img.Names {
			name := familiar(full)
			for _, candidate := range []string{name, strings.TrimPrefix(name, localDomain+"/")} {
				if d := distance(typed, candidate, best); d < best {
					best, bestName = d, candidate
				}
			}
		}
	}
	return bestName
}

// distance is the number of insertions, deletions, replacements and swaps of neighbours between a and b; bound or
// more is not told apart.
func distance(a, b string, bound int) int {
	if abs(len(a)-len(b)) >= bound {
		return bound
	}
	prev2, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return min(prev[len(b)], bound)
}

func abs(n int) int { return max(n, -n) }

// familiar is the name as people type it: without docker.io/library/ and :latest.
func familiar(name string) string {
	name = strings.TrimPrefix(name, hubDomain+"/")
	name = strings.TrimPrefix(name, officialPrefix)
	return strings.TrimSuffix(name, ":"+defaultTag)
}

// kindOf is the kind an error of this package carries on when it is put into a longer text.
func kindOf(err error) error {
	for _, kind := range []error{errdefs.ErrUnsupported, errdefs.ErrNewerVersion} {
		if errors.Is(err, kind) {
			return kind
		}
	}
	return errdefs.ErrBroken
}
