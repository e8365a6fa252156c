package compose

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLocate(t *testing.T) {
	const file = `name: x
services:
  web:
    image: busybox
    imgae: x
    ports: 80
    volumes: [db:/data]
    healthcheck:
      interval: soon
  a.b:
    depends_on: [c]
servces: {}
`
	path := filepath.Join(t.TempDir(), "compose.yaml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ message, want string }{
		{"validating FILE: services.web.imgae false schema", "FILE:5: services.web.imgae is not a key of Compose files"},
		{"validating FILE:  additional properties 'servces' not allowed", "FILE:12: servces is not a key of Compose files"},
		{"validating FILE: services.web.ports must be a array", "FILE:6: services.web.ports must be a array"},
		{"validating FILE: services.a.b.depends_on must be a list", "FILE:11: services.a.b.depends_on must be a list"},
		{`service "web" refers to undefined volume db: invalid compose project`, `FILE:7: service "web" refers to undefined volume db`},
		{`service "a.b" depends on undefined service "c": invalid compose project`, `FILE:11: service "a.b" depends on undefined service "c"`},
		{"decoding failed due to the following error(s):\n\n'services[web].healthcheck.interval' time: invalid duration", "FILE:9: 'services[web].healthcheck.interval' time: invalid duration"},
		{"error while interpolating services.web.image: required variable X is missing a value: say", "FILE:4: error while interpolating services.web.image: required variable X is missing a value: say"},
		{"yaml: construct errors: line 1: cannot construct", "FILE:1: yaml: construct errors: line 1: cannot construct"},
		{"failed to parse FILE: yaml: construct errors: line 1: line 3: mapping key", "FILE:1: yaml: construct errors: line 1: line 3: mapping key"},
		{"no such service: x", "no such service: x"},
		{"validating /elsewhere.yaml: services.web.imgae false schema", "validating /elsewhere.yaml: services.web.imgae false schema"},
	} {
		in, want := strings.ReplaceAll(c.message, "FILE", path), strings.ReplaceAll(c.want, "FILE", path)
		if got := locate(errors.New(in), []string{path}).Error(); got != want {
			t.Errorf("%q:\n%s, want\n%s", c.message, got, want)
		}
	}
}

func TestCheckAliases(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'z'; c++ {
		bomb += string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+string(c-1)+",", 9) + "]\n"
	}
	for name, text := range map[string]string{"bomb": bomb, "itself": "a: &a\n  b: *a\n"} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := checkAliases([]string{path}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	path := filepath.Join(t.TempDir(), "fine")
	if err := os.WriteFile(path, []byte("x-a: &a {b: 1}\nservices:\n  c: *a\n  d: *a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := checkAliases([]string{path, "/does/not/exist"}); err != nil {
		t.Error(err)
	}
}

func FuzzLocate(f *testing.F) {
	f.Add("validating f: services.a false schema", "services: {a: 1}\n")
	f.Add("service \"a\" depends on x", "services:\n  a: &a\n    b: *a\n")
	f.Add("'services[", "a: [")
	f.Fuzz(func(_ *testing.T, message, text string) {
		findFault(message).line([]byte(text))
	})
}
