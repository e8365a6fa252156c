package system

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// A mounted image cannot be removed or pruned: its layers are what the mount shows.
//
// flag: rmi
func TestMountedImageCannotGo(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	script := `set -e; W=$0
		dir=$("$W" image mount "$1")
		test -x "$dir/bin/sh"
		"$W" rmi "$1" 2>err && exit 3; grep -q "is mounted" err
		"$W" rmi -f "$1" 2>err && exit 4; grep -q "is mounted" err
		"$W" image prune -a -f; test -x "$dir/bin/sh"
		"$W" image unmount "$1"; "$W" rmi "$1"`
	cmd := s.Command(t.Context(), "unshare", "sh", "-c", script, s.Bin, testkit.Image)
	cmd.Dir = t.TempDir()
	if out, err := cmd.CombinedOutput(); err != nil {
		said, _ := os.ReadFile(filepath.Join(cmd.Dir, "err"))
		t.Fatalf("%v: %s%s", err, out, said)
	}
	if out := s.Must(t, "images", "-q"); out != "" {
		t.Errorf("it is still there: %s", out)
	}
}

// An archive that was cut off between two entries is no import, and the volume keeps what it had.
//
// flag: volume import
func TestVolumeImportTruncated(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	shared.Must(t, "volume", "create", name)
	t.Cleanup(func() { shared.Try(t, "volume", "rm", "-f", name) })
	var stream bytes.Buffer
	w := tar.NewWriter(&stream)
	w.WriteHeader(&tar.Header{Name: "one", Mode: 0o644, Size: 3})
	w.Write([]byte("one"))
	w.Flush()
	file := filepath.Join(t.TempDir(), "cut.tar")
	if err := os.WriteFile(file, stream.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	shared.MustFail(t, 125, "cut off", "volume", "import", name, file)
	if left := entries(filepath.Join(shared.Data, "volumes", name, "_data")); len(left) != 0 {
		t.Errorf("the volume has %v", left)
	}
}

// With -i and -t standard input has to be a terminal.
//
// flag: run, exec --interactive --tty
func TestInputIsNoTerminal(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	shared.MustFail(t, 125, "the input device is not a TTY", "run", "-it", "--name", name, testkit.Image, "true")
	if out := shared.Must(t, "ps", "-aq", "--filter", "name="+name); out != "" {
		t.Error("a container was made")
	}
	if r := shared.Try(t, "run", "-t", "--name", name, testkit.Image, "tty"); r.Code != 0 || !strings.Contains(r.Stdout, "/dev/") {
		t.Errorf("-t alone: exit %d %s%s", r.Code, r.Stdout, r.Stderr)
	}
	shared.Must(t, "rm", name)
	shared.Must(t, "run", "-d", "-it", "--name", name, testkit.Image, "cat")
	shared.MustFail(t, 125, "the input device is not a TTY", "exec", "-it", name, "true")
	shared.Must(t, "exec", "-d", "-it", name, "true")
}
