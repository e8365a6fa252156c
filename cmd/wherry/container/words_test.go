package container

import (
	"strings"
	"testing"
)

func TestSplitWords(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "",
		"  a  b ":               "a|b",
		`podman run -e "A=b c"`: "podman|run|-e|A=b c",
		`a'b "c'd`:              `ab "cd`,
		`a\ b "" c`:             "a b||c",
		`"a\"b" '\'`:            `a"b|\`,
	} {
		got, err := splitWords(text)
		if err != nil || strings.Join(got, "|") != want {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{`a "b`, `a 'b`, `a \`} {
		if _, err := splitWords(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func FuzzSplitWords(f *testing.F) {
	f.Add(`a "b c" \d`)
	f.Fuzz(func(t *testing.T, text string) {
		words, err := splitWords(text)
		total := 0
		for _, w := range words {
			total += len(w)
		}
		if err == nil && total > 3*len(text) {
			t.Errorf("%q became %q", text, words)
		}
	})
}
