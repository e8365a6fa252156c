package compose

import (
	"errors"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

func TestOverride(t *testing.T) {
	find := func(name string) (string, bool) { return "/store/" + name, name != "gone" }
	for _, c := range []struct {
		name    string
		secrets types.Secrets
		want    string
	}{
		{"none", nil, ""},
		{"a file", types.Secrets{"a": {File: "a.txt"}}, ""},
		{"external", types.Secrets{"b": {External: true}, "a": {External: true, Name: "other"}},
			"secrets:\n  \"a\": !override\n    file: \"/store/other\"\n  \"b\": !override\n    file: \"/store/b\"\n"},
		{"not in the store", types.Secrets{"gone": {External: true}}, ""},
		{"a name that is YAML", types.Secrets{"a\nb: c": {External: true, Name: "n"}}, "secrets:\n  \"a\\nb: c\": !override\n    file: \"/store/n\"\n"},
	} {
		if got := override(c.secrets, find); got != c.want {
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
