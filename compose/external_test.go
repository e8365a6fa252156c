package compose

import (
	"errors"
	"testing"
)

func TestOverride(t *testing.T) {
	find := func(name string) (string, bool) { return "/store/" + name, name != "gone" }
	for _, c := range []struct {
		name    string
		secrets map[string]any
		want    string
	}{
		{"none", nil, ""},
		{"a file", map[string]any{"a": map[string]any{"file": "a.txt"}}, ""},
		{"external", map[string]any{"b": map[string]any{"external": true}, "a": map[string]any{"external": true, "name": "other"}},
			"secrets:\n  \"a\": !override\n    file: \"/store/other\"\n  \"b\": !override\n    file: \"/store/b\"\n"},
		{"not in the store", map[string]any{"gone": map[string]any{"external": true}}, ""},
		{"odd", map[string]any{"x": "text", "y": map[string]any{"external": "yes"}}, ""},
		{"a name that is YAML", map[string]any{"a\nb: c": map[string]any{"external": true, "name": "n"}}, "secrets:\n  \"a\\nb: c\": !override\n    file: \"/store/n\"\n"},
	} {
		if got := override(map[string]any{"secrets": c.secrets}, find); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestMissing(t *testing.T) {
	for in, want := range map[string]string{
		"unsupported external secret db_password": `external secret "db_password" does not exist (make it: wherry secret create db_password FILE)`,
		"no such service: x":                      "no such service: x",
	} {
		if got := missing("wherry", errors.New(in)).Error(); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}
