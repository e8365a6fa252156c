package run_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/entitlements"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/buildah/run"
)

// victim is a directory that no step may see or change.
func (b *bench) victim() string {
	b.Helper()
	dir := b.source("key", "empty/stub", "sub/key")
	b.must(os.Truncate(filepath.Join(dir, "empty/stub"), 0))
	return dir
}

func (b *bench) untouched(victim string) {
	b.Helper()
	if got := tree(b.T, victim); got != "empty empty/stub key sub sub/key" {
		b.Errorf("outside of the root there is now: %s", got)
	}
}

// TestSourceThroughLinks replays CVE-2024-1753, CVE-2024-9407 and CVE-2024-9675: the source of a bind or cache mount is a
// link, or climbs, out of the tree that it belongs to.
func TestSourceThroughLinks(t *testing.T) {
	if !inside(t) {
		return
	}
	b := newBench(t)
	victim := b.victim()
	src := b.source("dir/key")
	up := strings.Repeat("../", 20)
	b.must(os.Symlink("/", filepath.Join(src, "root")))
	b.must(os.Symlink(up, filepath.Join(src, "up")))
	b.must(os.Symlink(victim, filepath.Join(src, "victim")))
	b.must(os.Symlink(up+victim+"/key", filepath.Join(src, "key")))
	for _, kind := range []pb.MountType{pb.MountType_BIND, pb.MountType_CACHE} {
		for _, selector := range []string{"victim", "key", "root" + victim, "up" + victim, up + victim, "/dir/../../../.." + victim} {
			s := sh("cat /m/key /m/* /m 2>/dev/null; touch /m/new")
			s.Mounts = []run.Mount{{Type: kind, Target: "/m", Source: src, Selector: selector}}
			if out, err := b.try(s); err == nil || strings.Contains(out, "key") {
				t.Errorf("%s %s: %q %v", kind, selector, out, err)
			}
		}
	}
	b.untouched(victim)
	s := sh("cat /m/dir/key")
	s.Mounts = []run.Mount{{Target: "/m", Source: src, Selector: "root/up/../root"}}
	if out := b.output(s); out != "dir/key" {
		t.Errorf("links inside: %q", out)
	}
}

// TestTargetThroughLinks: mount points, the working directory and files that are bound in, through links that want to lead
// out of the root.
func TestTargetThroughLinks(t *testing.T) {
	if !inside(t) {
		return
	}
	b := newBench(t)
	victim := b.victim()
	up := strings.Repeat("../", 20)
	b.must(os.Symlink(up+victim, b.in("out")))
	b.must(os.Symlink(up+victim+"/hosts", b.in("etc/hosts")))
	b.must(os.Symlink(victim+"/resolv/conf", b.in("etc/resolv.conf")))
	b.must(os.Symlink("loop", b.in("loop")))
	s := sh("pwd; touch made; cat /out/dir/key /etc/hosts >/dev/null")
	s.Meta.Cwd = "/out/work"
	s.Mounts = []run.Mount{{Target: "/out/dir", Source: b.source("key")}, {Target: "/out/file", Source: b.source("x"), Selector: "x"}}
	b.output(s)
	b.untouched(victim)
	if _, err := os.Stat(filepath.Join(b.root, victim, "work/made")); err != nil {
		t.Error(err)
	}
	for _, target := range []string{"/loop", "/loop/x"} {
		s.Mounts = []run.Mount{{Target: target, Source: b.source("key")}}
		if _, err := b.try(s); err == nil {
			t.Errorf("%s: no error", target)
		}
	}
}

// TestStubsOverLinks replays CVE-2024-23652: the step puts a link to the outside where a mount point was made, and hopes
// that clean-up goes through it.
func TestStubsOverLinks(t *testing.T) {
	if !inside(t) {
		return
	}
	b := newBench(t)
	victim := b.victim()
	s := sh("mv /a /moved; ln -s " + victim + "/empty /a; mv /b /moved2; ln -s " + strings.Repeat("../", 20) + victim + " /b; ln -s x /c/dangling")
	b.must(os.Symlink("busybox", b.in("bin/mv")))
	s.Meta.RemoveMountStubsRecursive = true
	s.Mounts = []run.Mount{
		{Target: "/a/stub", Source: b.source("x"), Selector: "x"},
		{Target: "/b/empty/deep", Source: b.source("x")},
		{Target: "/c/d", Source: b.source("x")},
	}
	b.output(s)
	b.untouched(victim)
	if got := tree(t, b.root); !strings.Contains(got, "moved/stub") || !strings.Contains(got, "c/dangling") || strings.Contains(got, "c/d ") {
		t.Error(got)
	}
}

// TestSourceExchangedMeanwhile replays CVE-2024-23651 and CVE-2024-11218: another step exchanges what is mounted for a link
// to the outside in the moment between the check and the mount.
func TestSourceExchangedMeanwhile(t *testing.T) {
	if !inside(t) {
		return
	}
	b := newBench(t)
	victim := b.victim()
	cache := b.source("sub/key")
	b.must(os.WriteFile(filepath.Join(cache, "sub/key"), []byte("mine"), 0o644))
	b.must(os.Symlink(filepath.Join(victim, "sub"), filepath.Join(cache, "link")))
	stop := make(chan struct{})
	var swapping sync.WaitGroup
	swapping.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				unix.Renameat2(unix.AT_FDCWD, filepath.Join(cache, "sub"), unix.AT_FDCWD, filepath.Join(cache, "link"), unix.RENAME_EXCHANGE)
			}
		}
	})
	seen := map[string]int{}
	for range 15 {
		s := sh("cat /m/key; touch /m/new")
		s.Mounts = []run.Mount{{Type: pb.MountType_CACHE, Target: "/m", Source: cache, Selector: "sub"}}
		out, err := b.try(s)
		if err != nil {
			out = "none"
		}
		seen[out]++
	}
	close(stop)
	swapping.Wait()
	b.untouched(victim)
	for out := range seen {
		if out != "mine" && out != "none" {
			t.Errorf("seen: %v", seen)
		}
	}
}

// TestEntitlements replays CVE-2024-23653: more rights than the user has granted, whoever asks.
func TestEntitlements(t *testing.T) {
	if !inside(t) {
		return
	}
	b := newBench(t)
	s := sh("grep -E 'CapBnd|CapEff' /proc/self/status; grep ' /proc/sys ' /proc/mounts | grep -c ro,; grep -c Seccomp:.*2 /proc/self/status")
	docker := "00000000a80425fb"
	if os.Getenv("WHERRY_TEST_ROOT") != "" {
		docker = "00000000a"
	}
	if out := b.output(s); !strings.HasPrefix(out, "CapEff:\t"+docker) && !strings.HasPrefix(out, "CapBnd:\t"+docker) || !strings.HasSuffix(out, "\n1\n1") {
		t.Errorf("%q", out)
	}
	s.Security = pb.SecurityMode_INSECURE
	if _, err := b.try(s); err == nil || !strings.Contains(err.Error(), "security.insecure is not allowed") {
		t.Errorf("insecure without its entitlement: %v", err)
	}
	s.Allowed = allow(t, entitlements.EntitlementSecurityInsecure)
	s.Meta.User = "bob"
	s.Meta.Args[2] += "; exit 0"
	if out := b.output(s); strings.Contains(out, docker) || !strings.HasSuffix(out, "\n0\n0") {
		t.Errorf("%q", out)
	}
	s = sh("true")
	s.Security = 7
	if _, err := b.try(s); err == nil {
		t.Error("unknown mode")
	}
	s.Security, s.Devices = 0, []*pb.CDIDevice{{Name: "vendor.com/class=x"}}
	if _, err := b.try(s); err == nil || !strings.Contains(err.Error(), "vendor.com/class=x is requested by the build but not allowed") {
		t.Errorf("device without its entitlement: %v", err)
	}
}

// TestWorkDirThroughDescriptors replays CVE-2024-21626: a working directory behind a descriptor that the runtime might have
// left open, from which ".." leads to the host. A step has none but its standard streams.
func TestWorkDirThroughDescriptors(t *testing.T) {
	if !inside(t) {
		return
	}
	b := newBench(t)
	victim := b.victim()
	if out := b.output(sh("ls /proc/self/fd | wc -w")); out != "4" { // ls has the directory open
		t.Errorf("%s descriptors", out)
	}
	for fd := 3; fd < 12; fd++ {
		s := sh("cat ../../../../../../../.." + victim + "/key; cat /proc/self/cwd/../../../.." + victim + "/key")
		s.Meta.Cwd = fmt.Sprintf("/proc/self/fd/%d", fd)
		if out, _ := b.try(s); strings.Contains(out, "key\n") || strings.HasPrefix(out, "key") {
			t.Errorf("descriptor %d: %q", fd, out)
		}
	}
	b.untouched(victim)
}
