package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A freeze that somebody else takes back, or whose group goes away, does not wait for what will never come.
func TestFreezeOverruled(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(dir string) error{
		"thawed":  func(dir string) error { return os.WriteFile(filepath.Join(dir, "cgroup.freeze"), []byte("0\n"), 0o600) },
		"removed": os.RemoveAll,
	} {
		dir := filepath.Join(t.TempDir(), "group")
		for file, text := range map[string]string{"cgroup.freeze": "0\n", "cgroup.events": "populated 1\nfrozen 0\n"} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		begun := time.Now()
		time.AfterFunc(20*time.Millisecond, func() { change(dir) })
		if err := Freeze(dir); !errors.Is(err, ErrOverruled) {
			t.Errorf("%s: %v", name, err)
		}
		if d := time.Since(begun); d > settle/2 {
			t.Errorf("%s: it took %v", name, d)
		}
	}
	if err := Freeze(filepath.Join(t.TempDir(), "gone")); !errors.Is(err, ErrOverruled) {
		t.Errorf("absent: %v", err)
	}
}
