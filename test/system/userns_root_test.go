package system

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// As root the kernel shows images and mounts through a container's mapping: nothing is copied, and on disk everything
// keeps its owner.
//
// flag: run, create --volume --mount
func TestMappedByTheKernel(t *testing.T) {
	if os.Getuid() != 0 || os.Getenv("WHERRY_TEST_ROOT") == "" {
		t.Skip("this is for root (WHERRY_TEST_ROOT)")
	}
	maps := []string{"--uidmap", "0:100000:65536"}
	with := func(flags ...string) []string { return append(append([]string{}, maps...), flags...) }
	want(t, "the image's file inside", inside(t, "stat -c %u:%g /bin/busybox; touch /made; stat -c %u /made", maps...), "0:0\n0")
	if _, err := os.Stat(filepath.Join(shared.Data, "mapped")); err == nil {
		t.Log("this file system cannot be mapped: the image was copied")
		t.Skip("no idmapped mounts here")
	}
	shares := dir(t)
	os.WriteFile(filepath.Join(shares, "f"), nil, 0o644)
	want(t, "a bind", inside(t, "stat -c %u /s/f", with("-v", shares+":/s")...), "65534")
	want(t, "a mapped one", inside(t, "stat -c %u:%g /s/f; touch /s/g", with("-v", shares+":/s:idmap")...), "0:0")
	want(t, "what it made, on disk", owner(t, filepath.Join(shares, "g")), "0:0")
	want(t, "mapped by hand", inside(t, "stat -c %u:%g /s/f", "--mount", "type=bind,src="+shares+",dst=/s,idmap=uids=0-5-1;gids=0-7-1"), "5:7")
	want(t, "in the container's ids", inside(t, "stat -c %u:%g /s/f", with("-v", shares+":/s:idmap=uids=@0-5-1;gids=@0-7-1")...), "5:7")
	shared.MustFail(t, 125, "has no user namespace of its own", "run", "--rm", "-v", shares+":/s:idmap", testkit.Image, "true")
	shared.MustFail(t, 125, "for use without root", "run", "--rm", "--userns", "keep-id", testkit.Image, "true")
	shared.MustFail(t, 125, "needs --uidmap", "run", "--rm", "--userns", "private", testkit.Image, "true")
	r := shared.Try(t, runArgs("cat /proc/self/uid_map", "--userns", "auto")...)
	if r.Code != 0 && !strings.Contains(r.Stderr, `takes its ids from the name "containers"`) {
		t.Errorf("auto: %d %s", r.Code, r.Stderr)
	}
}

// Without root the kernel maps no file system of the host, and wherry says what to do.
func TestMappedWithoutRoot(t *testing.T) {
	needUserNS(t)
	t.Parallel()
	shares := dir(t)
	shared.MustFail(t, 125, "lets only root map the ids of this file system (use the option U", "run", "--rm", "--userns", "auto", "-v", shares+":/s:idmap", testkit.Image, "true")
	shared.MustFail(t, 125, "idmap looks like", "run", "--rm", "-v", shares+":/s:idmap=uids=0-1", testkit.Image, "true")
}
