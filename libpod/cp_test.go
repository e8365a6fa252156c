package libpod

import (
	"strings"
	"testing"
)

func TestParseCopyPlace(t *testing.T) {
	for arg, want := range map[string]CopyPlace{
		"web:/etc":     {"web", "/etc"},
		"web:etc":      {"web", "etc"},
		"web:/a:b":     {"web", "/a:b"},
		"/a:b":         {"", "/a:b"},
		"./a:b":        {"", "./a:b"},
		"../a:b":       {"", "../a:b"},
		"plain":        {"", "plain"},
		"-":            {"", "-"},
		".":            {"", "."},
		"0123abcd:/.":  {"0123abcd", "/."},
		"dir/file":     {"", "dir/file"},
		"web:/dir/ x ": {"web", "/dir/ x "},
	} {
		got, err := ParseCopyPlace(arg)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", arg, got, err, want)
		}
	}
	for arg, says := range map[string]string{"": "empty path", ":/x": "not CONTAINER:PATH", "dir/file:x": "./dir/file:x", "web:": "web:/", "web:/\x00": "zero byte"} {
		if _, err := ParseCopyPlace(arg); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want an error with %q", arg, err, says)
		}
	}
}

func FuzzParseCopyPlace(f *testing.F) {
	for _, seed := range []string{"web:/etc", "-", "./a:b", "a:", ":"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		place, err := ParseCopyPlace(arg)
		if err != nil {
			return
		}
		if place.Path == "" || strings.ContainsAny(place.Container, "/\x00:") || strings.ContainsRune(place.Path, 0) || place.String() != arg {
			t.Errorf("%q became %+v", arg, place)
		}
	})
}
