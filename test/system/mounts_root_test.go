package system

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
	"golang.org/x/sys/unix"
)

// As root a mount that is shared reaches the host, and the end of the container takes nothing away there.
//
// flag: run, create --volume --mount
func TestSharedPropagationAsRoot(t *testing.T) {
	if os.Getuid() != 0 || os.Getenv("WHERRY_TEST_ROOT") == "" {
		t.Skip("this is for root (WHERRY_TEST_ROOT)")
	}
	s, done, err := testkit.Open("bin")
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	base := t.TempDir()
	for _, name := range []string{"ctr", "host"} {
		os.Mkdir(filepath.Join(base, name), 0o755)
	}
	mount := func(source, target, fstype string, flags uintptr) {
		t.Helper()
		if err := unix.Mount(source, target, fstype, flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	mount(base, base, "", unix.MS_BIND)
	t.Cleanup(func() { unix.Unmount(base, unix.MNT_DETACH) })
	mount("", base, "", unix.MS_SHARED)
	mount("tmpfs", base+"/host", "tmpfs", 0)
	os.WriteFile(base+"/host/f", nil, 0o644)
	for _, runtime := range []string{"crun", "runc"} {
		for _, kind := range []string{"shared", "rshared", "rslave"} {
			r := s.Try(t, "run", "--runtime", runtime, "--rm", "--network", "none", "--privileged", "-v", base+":/x:"+kind, testkit.Image, "sh", "-c", "mount -t tmpfs tmpfs /x/ctr && touch /x/ctr/from-"+kind)
			if strings.Contains(r.Stderr, "hybrid") || strings.Contains(r.Stderr, "not found") {
				continue // no such runtime for this machine
			}
			if r.Code != 0 {
				t.Errorf("%s %s: exit %d %s", runtime, kind, r.Code, r.Stderr)
			}
			got := len(entries(base+"/ctr")) == 1
			if got != (kind != "rslave") {
				t.Errorf("%s %s: seen on the host: %v", runtime, kind, got)
			}
			unix.Unmount(base+"/ctr", unix.MNT_DETACH)
			if len(entries(base+"/host")) != 1 {
				t.Fatalf("%s %s: the host lost its own mount", runtime, kind)
			}
		}
	}
}
