package steps

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/wherry-containers/wherry/pkg/layout"
)

const claimEnv = "WHERRY_TEST_CLAIM"

// TestMain is also the process that claims a place and dies.
func TestMain(m *testing.M) {
	if dir := os.Getenv(claimEnv); dir != "" {
		p, err := Claim(layout.Dirs{Run: dir})
		if err != nil || p.Note([]string{"/sys/fs/cgroup/none/wherry-x"}) != nil {
			os.Exit(1)
		}
		os.Stdout.WriteString(p.ID)
		os.Stdin.Read(make([]byte, 1)) // until it is killed
	}
	os.Exit(m.Run())
}

func none(string) error { return nil }

func TestPlaceOfTheLiving(t *testing.T) {
	dirs := layout.Dirs{Run: t.TempDir()}
	p, err := Claim(dirs)
	if err != nil {
		t.Fatal(err)
	}
	if left := Left(dirs); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if err := Clear(dirs, p.ID, func(string) error { t.Error("detached"); return nil }); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(p.Private()); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info, err)
	}
	if err := p.Release(); err != nil {
		t.Error(err)
	}
	if entries, _ := os.ReadDir(dirs.Steps()); len(entries) != 0 {
		t.Errorf("left: %v", entries)
	}
}

func TestPlaceOfTheDead(t *testing.T) {
	dirs := layout.Dirs{Run: t.TempDir()}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), claimEnv+"="+dirs.Run)
	in, _ := cmd.StdinPipe()
	defer in.Close()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 2*idBytes)
	if _, err := out.Read(id); err != nil {
		t.Fatal(err)
	}
	if left := Left(dirs); len(left) != 0 {
		t.Errorf("it lives: %v", left)
	}
	cmd.Process.Kill()
	cmd.Wait()
	if left := Left(dirs); len(left) != 1 || left[0] != string(id) {
		t.Fatalf("left: %v, want %s", left, id)
	}
	broken := errors.New("broken")
	if err := Clear(dirs, string(id), func(string) error { return broken }); !errors.Is(err, broken) || len(Left(dirs)) != 1 {
		t.Errorf("%v %v", err, Left(dirs))
	}
	detached := ""
	if err := Clear(dirs, string(id), func(id string) error { detached = id; return nil }); err != nil || detached != string(id) || len(Left(dirs)) != 0 {
		t.Errorf("%v %q %v", err, detached, Left(dirs))
	}
	if err := Clear(dirs, string(id), none); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

// TestGroupsAreOnlyOurs: whatever the file says, nothing but control groups of that name is removed, and no place elsewhere.
func TestGroupsAreOnlyOurs(t *testing.T) {
	dirs := layout.Dirs{Run: t.TempDir()}
	victim := filepath.Join(t.TempDir(), "wherry-victim")
	place := filepath.Join(dirs.Steps(), "dead")
	for _, dir := range []string{victim, place} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	os.WriteFile(filepath.Join(place, groupsFile), []byte("/sys/fs/cgroup/other\n"+victim+"\n"), 0o600)
	if err := Clear(dirs, "dead", none); err == nil {
		t.Error("a group that is none was taken for one")
	}
	if _, err := os.Stat(victim); err != nil {
		t.Error(err)
	}
	if err := Clear(dirs, "../../"+filepath.Base(victim), none); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(victim); err != nil {
		t.Error(err)
	}
}
