package run_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/entitlements"

	"github.com/wherry-containers/wherry/buildah/run"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/testkit"
)

// TestCancel: a step that is given up ends at once with all its processes, and leaves nothing.
func TestCancel(t *testing.T) {
	if !inside(t) {
		return
	}
	b := newBench(t)
	const mark = "75319864"
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("enough")
	s := sh("(trap '' TERM INT HUP; sleep " + mark + ") & sleep " + mark)
	s.Network = pb.NetMode_UNSET
	ended := make(chan error, 1)
	go func() { ended <- b.runner.Run(ctx, b.root, s) }()
	testkit.Eventually(t, "the step to run", func() bool { return len(marked(mark)) >= 2 })
	cancel(why)
	select {
	case err := <-ended:
		if !errors.Is(err, why) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on")
	}
	if left := marked(mark); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
	if left, _ := os.ReadDir(b.dirs.Steps()); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if err := b.runner.Run(ctx, b.root, s); !errors.Is(err, why) {
		t.Errorf("cancelled before: %v", err)
	}
}

// TestSeveralAtOnce: steps of one builder, each on a root of its own, do not get in each other's way, nor see each other's
// mounts.
func TestSeveralAtOnce(t *testing.T) {
	if !inside(t) {
		return
	}
	b := newBench(t)
	cache := b.TempDir()
	var all sync.WaitGroup
	for i := range 8 {
		root := newBench(t).root
		all.Go(func() {
			var out bytes.Buffer
			s := sh(fmt.Sprintf("cat /run/secrets/n /proc/mounts; touch /cache/%d; hostname", i))
			s.Network = pb.NetMode_UNSET
			s.Meta.Hostname = fmt.Sprintf("host%d", i)
			s.Mounts = []run.Mount{{Type: pb.MountType_CACHE, Target: "/cache", Source: cache}, {Type: pb.MountType_SECRET, Target: "/run/secrets/n", Data: []byte(s.Meta.Hostname), Mode: 0o400}}
			s.Stdout, s.Stderr = &out, &out
			if err := b.runner.Run(context.Background(), root, s); err != nil {
				t.Errorf("%d: %v %s", i, err, out.String())
				return
			}
			if text := out.String(); !strings.HasPrefix(text, s.Meta.Hostname) || !strings.HasSuffix(text, s.Meta.Hostname+"\n") || strings.Contains(text, "/private") {
				t.Errorf("%d: %s", i, text)
			}
		})
	}
	all.Wait()
	if got := tree(t, cache); got != "0 1 2 3 4 5 6 7" {
		t.Error(got)
	}
}

func TestLimits(t *testing.T) {
	if !inside(t) {
		return
	}
	b := newBench(t)
	s := sh("ulimit -n; grep -c ' /dev/shm .*size=2048k' /proc/mounts; touch /no 2>/dev/null || echo ro; cat")
	s.Meta.Ulimit = []*pb.Ulimit{{Name: "nofile", Soft: 99, Hard: 100}}
	s.ShmSize, s.ReadOnlyRoot, s.Stdin = 2<<20, true, strings.NewReader("typed\n")
	if out := b.output(s); out != "99\n1\nro\ntyped" {
		t.Errorf("%q", out)
	}
	if out := b.output(sh("cat; echo end")); out != "end" {
		t.Errorf("stdin: %q", out)
	}
	s = sh("true")
	s.Limits = record.Resources{MemorySwap: 1 << 30}
	if _, err := b.try(s); err == nil {
		t.Error("swap without memory was accepted")
	}
	s.Limits = record.Resources{CPUSet: "0"}
	if _, err := b.try(s); err != nil && !strings.Contains(err.Error(), "--cpuset-cpus") {
		t.Error(err)
	}
	s.Limits = record.Resources{}
	s.Meta.CgroupParent = "a/../b"
	if _, err := b.try(s); err == nil {
		t.Error("a parent with ..")
	}
}

// TestSocketOfAnAgent: it is shown under its name, with the directory that it lies in out of sight.
func TestSocketOfAnAgent(t *testing.T) {
	if !inside(t) {
		return
	}
	b := newBench(t)
	dir := b.source("other")
	listener := listen(t, filepath.Join(dir, "agent.sock"))
	defer listener.Close()
	s := sh("ls /run/buildkit; stat -c %F /run/buildkit/ssh_agent.0")
	s.Mounts = []run.Mount{{Type: pb.MountType_SSH, Target: "/run/buildkit/ssh_agent.0", Source: filepath.Join(dir, "agent.sock")}}
	if out := b.output(s); out != "ssh_agent.0\nsocket" {
		t.Errorf("%q", out)
	}
}

const cdiSpec = `{"cdiVersion": "0.6.0", "kind": "vendor.com/class", "devices": [{"name": "x", "containerEdits": {"env": ["FROM_CDI=yes"]}}]}`

func TestDevices(t *testing.T) {
	if !inside(t) {
		return
	}
	b := newBench(t)
	dir := b.TempDir()
	b.must(os.WriteFile(filepath.Join(dir, "vendor.json"), []byte(cdiSpec), 0o644))
	b.runner = run.New(run.Options{Dirs: b.dirs, CDIDirs: []string{dir}})
	s := sh("echo $FROM_CDI")
	s.Devices = []*pb.CDIDevice{{Name: "mine"}, {Name: "vendor.com/class=none", Optional: true}}
	s.Allowed = entitlements.Set{entitlements.EntitlementDevice: &entitlements.DevicesConfig{Devices: map[string]string{"mine": "vendor.com/class=x", "vendor.com/class=none": ""}}}
	if out := b.output(s); out != "yes" {
		t.Errorf("%q", out)
	}
	s.Devices[1].Optional = false
	if _, err := b.try(s); err == nil || !strings.Contains(err.Error(), "vendor.com/class=none") {
		t.Error(err)
	}
}

func listen(t *testing.T, path string) net.Listener {
	t.Helper()
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	return listener
}
