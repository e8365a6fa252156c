package run_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/entitlements"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/buildah/run"
	"github.com/wherry-containers/wherry/pkg/rootless"
)

func TestNetworks(t *testing.T) {
	if !inside(t) {
		return
	}
	b := newBench(t)
	s := sh("ls /sys/class/net; cat /etc/hosts; wc -l </etc/resolv.conf")
	s.Meta.Hostname = "me"
	s.Meta.ExtraHosts = []*pb.HostIP{{Host: "db", IP: "10.9.8.7"}}
	hosts := "127.0.0.1\tlocalhost me\n::1\tlocalhost ip6-localhost ip6-loopback\n10.9.8.7\tdb\n"
	if out := b.output(s); !strings.HasPrefix(out, "lo\n"+hosts) {
		t.Errorf("none: %q", out)
	}
	s.Network = pb.NetMode_UNSET
	if out := b.output(s); !strings.HasPrefix(out, "eth0\nlo\n"+hosts) {
		t.Errorf("default: %q", out)
	}
	s.Networks = []string{"nonesuch"}
	if _, err := b.try(s); err == nil || !strings.Contains(err.Error(), "nonesuch") {
		t.Error(err)
	}
	s.Networks, s.Network = nil, pb.NetMode_HOST
	if _, err := b.try(s); err == nil || !strings.Contains(err.Error(), "network.host is not allowed") {
		t.Errorf("host without its entitlement: %v", err)
	}
	s.Allowed = allow(t, entitlements.EntitlementNetworkHost)
	s.Meta.Args[2] = "readlink /proc/self/ns/net"
	own, _ := os.Readlink("/proc/self/ns/net")
	if out := b.output(s); out != own {
		t.Errorf("%s, want %s", out, own)
	}
	s.Meta.ExtraHosts[0].IP = "not-an-ip"
	if _, err := b.try(s); err == nil || !strings.Contains(err.Error(), "not-an-ip") {
		t.Error(err)
	}
}

// TestWayOut: what a step asks of the host's address arrives there.
func TestWayOut(t *testing.T) {
	if !inside(t) {
		return
	}
	if !uplinks() {
		t.Skip("neither pasta nor slirp4netns is installed")
	}
	b := newBench(t)
	// Busybox, linked statically, cannot look names up.
	listener, err := net.Listen("tcp", ":0")
	b.must(err)
	defer listener.Close()
	asked := make(chan string, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		line, _ := bufio.NewReader(conn).ReadString('\n')
		asked <- line
		conn.Close()
	}()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	b.must(os.Symlink("busybox", b.in("bin/nc")))
	s := sh(`while read -r ip name; do [ "$name" != host ] || echo "from inside" | nc -w 5 "$ip" ` + port + `; done </etc/hosts`)
	s.Network = pb.NetMode_UNSET
	s.Meta.ExtraHosts = []*pb.HostIP{{Host: "host", IP: "host-gateway"}}
	out, err := b.try(s)
	select {
	case line := <-asked:
		if line != "from inside\n" {
			t.Errorf("%q", line)
		}
	default:
		t.Errorf("nothing came: %q %v", out, err)
	}
}

func uplinks() bool {
	for _, name := range []string{"pasta", "slirp4netns"} {
		if _, err := exec.LookPath(name); err == nil {
			return true
		}
	}
	return os.Getenv("WHERRY_TEST_UID") == "0"
}

// TestNetworkIsTheUsers: the namespace of the networks that a step makes first is the one that all of the user's commands
// have, and outlives the builder.
func TestNetworkIsTheUsers(t *testing.T) {
	if !inside(t) {
		return
	}
	if os.Getenv("WHERRY_TEST_ROOT") != "" {
		t.Skip("root has no namespace for networks")
	}
	b := newBench(t)
	s := sh("true")
	s.Network = pb.NetMode_UNSET
	b.output(s)
	file := filepath.Join(b.dirs.Run, "net/ns")
	// Ours sees what is mounted there, but not the other way round.
	var st unix.Statfs_t
	if err := unix.Statfs(fmt.Sprintf("/proc/%d/root%s", rootless.PausePID(), file), &st); err != nil || st.Type != unix.NSFS_MAGIC {
		t.Errorf("no namespace is mounted at %s for the user's commands: %v", file, err)
	}
}

// TestNoUplink: where no network can be had the default is the host's, and the user is told.
func TestNoUplink(t *testing.T) {
	if !inside(t) {
		return
	}
	if os.Getenv("WHERRY_TEST_ROOT") != "" {
		t.Skip("root needs no uplink")
	}
	b := newBench(t)
	b.dirs.Run = filepath.Join(filepath.Dir(b.dirs.Run), "other") // where no uplink is at work
	var told []string
	b.runner = run.New(run.Options{Dirs: b.dirs, Warn: func(text string) { told = append(told, text) }})
	t.Setenv("PATH", "/nowhere")
	s := sh("readlink /proc/self/ns/net")
	s.Network = pb.NetMode_UNSET
	own, _ := os.Readlink("/proc/self/ns/net")
	for range 2 {
		if out := b.output(s); out != own {
			t.Errorf("%s, want %s", out, own)
		}
	}
	if len(told) != 1 || !strings.Contains(told[0], "passt") {
		t.Errorf("%q", told)
	}
	s.Networks = []string{"bridge"}
	if _, err := b.try(s); err == nil {
		t.Error("a network that was asked for by name")
	}
}
