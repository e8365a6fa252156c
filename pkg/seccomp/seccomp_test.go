package seccomp

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func FuzzBuild(f *testing.F) {
	for _, s := range []string{"", "unconfined", "{}", `{"syscalls":[null]}`, `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"x"}]}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, profile string) {
		if _, err := Build(profile, []string{"CAP_CHOWN"}); err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%q", err)
		}
	})
}

func TestCache(t *testing.T) {
	dir := t.TempDir()
	c := Cache{Dir: filepath.Join(dir, "c")}
	file := filepath.Join(dir, "f")
	good := bytes.Repeat([]byte{0x20, 0, 0, 0, 4, 0, 0, 0}, 5)
	os.WriteFile(file, good, 0o700)
	if err := c.Harvest("k", file); err != nil || c.Load("k") == "" {
		t.Fatal(err)
	}
	os.Chmod(filepath.Join(c.Dir, "k"), 0o622)
	if c.Load("k") != "" {
		t.Error("took a filter that others can write")
	}
	os.WriteFile(file, good[:13], 0o700)
	if c.Harvest("k2", file) == nil || c.Load("k2") != "" {
		t.Error("took half a filter")
	}
}
