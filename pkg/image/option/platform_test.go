package option

import "testing"

func TestParsePlatform(t *testing.T) {
	for text, want := range map[string]Platform{
		"linux/arm64": {OS: "linux", Arch: "arm64"}, "linux/arm/v7": {OS: "linux", Arch: "arm", Variant: "v7"},
		"Linux/AARCH64": {OS: "linux", Arch: "arm64"}, "armhf": {OS: "linux", Arch: "arm", Variant: "v7"},
		"amd64": {OS: "linux", Arch: "amd64"}, "windows": {OS: "windows"},
	} {
		if got, err := ParsePlatform(text); err != nil || got != want {
			t.Errorf("%s: %+v %v", text, got, err)
		}
	}
	for _, text := range []string{"", "/", "linux/", "a/b/c/d", "linux/arm 64", "linux,arm"} {
		if got, err := ParsePlatform(text); err == nil {
			t.Errorf("%q: accepted as %+v", text, got)
		}
	}
}

func TestPlatformMatches(t *testing.T) {
	for _, c := range []struct {
		want     Platform
		variant  string
		expected bool
	}{
		{Platform{}, "", true}, {Platform{Arch: "arm"}, "v7", true}, {Platform{Arch: "arm", Variant: "v6"}, "v7", false},
		{Platform{Arch: "arm", Variant: "v7"}, "", true}, {Platform{Arch: "armhf"}, "v7", true}, {Platform{OS: "windows"}, "", false},
	} {
		if got := c.want.Matches("linux", "arm", c.variant); got != c.expected {
			t.Errorf("%v of %q: %v", c.want, c.variant, got)
		}
	}
}

func FuzzParsePlatform(f *testing.F) {
	f.Add("linux/arm/v7")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePlatform(text)
		if err == nil && p.OS == "" {
			t.Errorf("%q: no system in %+v", text, p)
		}
	})
}
