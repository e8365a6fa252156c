package values

import (
	"strings"
	"testing"
)

// FuzzLines: files of --env-file and --label-file.
func FuzzLines(f *testing.F) {
	f.Add([]byte("\xef\xbb\xbfA=b\r\n# c\n\n  B\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lines, err := splitLines(data)
		if err != nil && len(lines) > 0 {
			t.Error("lines beside an error")
		}
		for _, l := range lines {
			if l.number < 1 || l.text == "" || l.text[0] == '#' || strings.ContainsAny(l.text, "\n\x00") {
				t.Errorf("%+v of %q", l, data)
			}
		}
	})
}
