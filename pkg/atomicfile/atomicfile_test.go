package atomicfile

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWriteReplacesWhole(t *testing.T) {
	for _, d := range []Durability{Volatile, Ordered, Durable} {
		dir := t.TempDir()
		path := filepath.Join(dir, "f")
		for _, content := range []string{"first, the longer one", "second"} {
			if err := Write(path, []byte(content), 0o640, d); err != nil {
				t.Fatal(err)
			}
			if got, _ := os.ReadFile(path); string(got) != content {
				t.Errorf("%d: got %q, want %q", d, got, content)
			}
		}
		info, _ := os.Stat(path)
		if entries, _ := os.ReadDir(dir); len(entries) != 1 || info.Mode().Perm() != 0o640 {
			t.Errorf("%d: %v, mode %v", d, entries, info.Mode())
		}
	}
}

func TestWriteTakesOverADeadWritersTemp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	os.WriteFile(filepath.Join(filepath.Dir(path), ".f.tmp"), []byte("half of something much longer"), 0o600)
	if err := Write(path, []byte("whole"), 0o600, Durable); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); string(got) != "whole" {
		t.Errorf("got %q", got)
	}
}

func TestFailedWriteLeavesTheOld(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	os.Mkdir(path, 0o700) // a rename cannot replace a directory
	if err := Write(path, []byte("x"), 0o600, Volatile); err == nil {
		t.Fatal("want an error")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}
