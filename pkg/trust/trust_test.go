package trust

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSetAndSave(t *testing.T) {
	t.Parallel()
	path, key := filepath.Join(t.TempDir(), "a/policy.json"), filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := Load(path)
	if err != nil || p.Rows()[0].Type != "accept" {
		t.Fatalf("%+v %v", p, err)
	}
	for _, set := range []struct {
		scope, kind string
		keys        []string
	}{{Default, "reject", nil}, {"quay.io/a", "signedBy", []string{key}}, {"b.example:5000", "sigstoreSigned", []string{key, key}}, {"docker.io", "accept", nil}} {
		if err := p.Set(set.scope, set.kind, set.keys); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Save(path); err != nil {
		t.Fatal(err)
	}
	again, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range again.Rows() {
		got = append(got, strings.TrimSpace(r.Transport+" "+r.Name+" "+r.Type+" "+strings.ReplaceAll(r.ID, key, "KEY")))
	}
	want := "all default reject|repository b.example:5000 sigstoreSigned KEY, KEY|repository docker.io accept|repository quay.io/a signedBy KEY"
	if text := strings.Join(got, "|"); text != want {
		t.Errorf("%s", text)
	}
}

func TestSetRefuses(t *testing.T) {
	t.Parallel()
	for text, args := range map[string][]string{"--type": {"a", "maybe"}, "--pubkeysfile FILE": {"a", "signedBy"}, "goes with": {"a", "accept", "/etc/passwd"},
		"no such file": {"a", "signedBy", "/no/such"}, "no registry": {"a b", "accept"}} {
		if err := (&Policy{}).Set(args[0], args[1], args[2:]); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"default":[{"type":"reject"}],"transports":{"docker":{"a":[{"type":"signedBy","keyPaths":["x",1]}]}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse("x", []byte(text))
		if err == nil && len(p.Rows()) == 0 {
			t.Error("no rows")
		}
	})
}
