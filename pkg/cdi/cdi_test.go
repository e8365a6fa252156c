package cdi

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	oci "github.com/opencontainers/runtime-spec/specs-go"
)

const described = `{"cdiVersion": "0.6.0", "kind": "example.com/thing", "containerEdits": {"env": ["ALL=1"]}, "devices": [
	{"name": "one", "containerEdits": {"env": ["ONE=1"], "deviceNodes": [{"path": "/dev/thing", "hostPath": "/dev/null"}],
		"mounts": [{"hostPath": "/etc/hostname", "containerPath": "/thing", "options": ["ro", "bind"]}]}},
	{"name": "two", "containerEdits": {"hooks": [{"hookName": "createContainer", "path": "/bin/true"}]}}]}`

func TestAdd(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thing.json"), []byte(described), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		devices   []string
		rootless  bool
		want, not string
	}{
		"a node":           {[]string{"example.com/thing=one"}, false, `"path":"/dev/thing","type":"c","major":1,"minor":3`, `"bind","nosuid"`},
		"a node's rule":    {[]string{"example.com/thing=one"}, false, `"allow":true,"type":"c","major":1,"minor":3,"access":"rwm"`, ""},
		"without root":     {[]string{"example.com/thing=one"}, true, `"destination":"/dev/thing","type":"bind","source":"/dev/null"`, `"major"`},
		"a mount":          {[]string{"example.com/thing=one"}, true, `"destination":"/thing"`, ""},
		"variables":        {[]string{"example.com/thing=one"}, true, `"ALL=1","ONE=1"`, ""},
		"common part once": {[]string{"example.com/thing=one", "example.com/thing=two"}, true, `"createContainer":[{"path":"/bin/true"`, `"ALL=1","ONE=1","ALL=1"`},
		"unknown":          {[]string{"example.com/thing=none"}, true, "is not described in " + dir + " (these are: example.com/thing=one, example.com/thing=two)", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := &oci.Spec{Process: &oci.Process{}, Linux: &oci.Linux{}}
			err := Add(s, c.devices, []string{dir}, c.rootless)
			data, _ := json.Marshal(s)
			text := string(data)
			if err != nil {
				text = err.Error()
			}
			if !strings.Contains(text, c.want) || c.not != "" && strings.Contains(text, c.not) {
				t.Errorf("want %s and not %q in:\n%s", c.want, c.not, text)
			}
		})
	}
}

func TestBroken(t *testing.T) {
	dir := t.TempDir()
	if err := Add(&oci.Spec{}, []string{"nvidia.com/gpu=all"}, []string{dir}, true); err == nil || !strings.Contains(err.Error(), "nvidia-ctk cdi generate") {
		t.Error(err)
	}
	os.WriteFile(filepath.Join(dir, "broken.yaml"), []byte("{"), 0o644)
	if err := Add(&oci.Spec{}, []string{"nvidia.com/gpu=all"}, []string{dir}, true); err == nil || !strings.Contains(err.Error(), "broken.yaml cannot be read") {
		t.Error(err)
	}
}

func FuzzAdd(f *testing.F) {
	f.Add([]byte(described))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		os.WriteFile(filepath.Join(dir, "x.json"), data, 0o644)
		Add(&oci.Spec{Process: &oci.Process{}, Linux: &oci.Linux{}}, []string{"example.com/thing=one"}, []string{dir}, true) // must not panic
	})
}
