package spec

import "testing"

func FuzzParseUmask(f *testing.F) {
	for _, text := range []string{"", "0022", "777", "1000", "0o22", "-1", "0_7"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		mask, err := parseUmask(text)
		if err == nil && *mask > 0o777 {
			t.Errorf("%q is %o", text, *mask)
		}
	})
}
