package compose

import (
	"slices"
	"testing"
)

func TestCandidates(t *testing.T) {
	for _, c := range []struct {
		answer string
		lines  []string
		files  bool
	}{
		{"up\tCreate and start containers\nunpause\n:4\n", []string{"up\tCreate and start containers", "unpause"}, false},
		{":4\n", nil, false},
		{":0\n", nil, true},
		{"yaml\nyml\n:8\n", nil, true},
		{"a\n:1\n", nil, false},
		{"", nil, false},
		{"nonsense", nil, false},
	} {
		if lines, files := candidates(c.answer); !slices.Equal(lines, c.lines) || files != c.files {
			t.Errorf("candidates(%q) = %q, %v", c.answer, lines, files)
		}
	}
}
