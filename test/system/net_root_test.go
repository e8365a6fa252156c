package system

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// rootNet is a machine of root's: a network namespace in place of the host's, with a link to another machine.
type rootNet struct {
	*testkit.Store
	host, outside string // names of the namespaces
}

// Addresses on the link.
const (
	rootHost    = "198.51.100.1"
	rootOutside = "198.51.100.2"
)

func newRootNet(t *testing.T) *rootNet {
	t.Helper()
	if os.Getuid() != 0 || os.Getenv("WHERRY_TEST_ROOT") == "" {
		t.Skip("this is for root (WHERRY_TEST_ROOT)")
	}
	for _, tool := range []string{"ip", "nft", "nsenter"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	n := &rootNet{host: fmt.Sprintf("wh%d", os.Getpid()), outside: fmt.Sprintf("wo%d", os.Getpid())}
	t.Cleanup(func() {
		exec.Command("ip", "netns", "del", n.host).Run()
		exec.Command("ip", "netns", "del", n.outside).Run()
	})
	script := `set -e
ip netns add $h; ip netns add $o
ip -n $h link set lo up; ip -n $o link set lo up
ip -n $h link add up0 type veth peer name up0 netns $o
ip -n $h addr add ` + rootHost + `/24 dev up0; ip -n $o addr add ` + rootOutside + `/24 dev up0
ip -n $h link set up0 up; ip -n $o link set up0 up
ip -n $h route add default via ` + rootOutside
	cmd := exec.Command("sh", "-c", script)
	cmd.Env = append(os.Environ(), "h="+n.host, "o="+n.outside)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("no network namespaces here: %v: %s", err, out)
	}
	t.Setenv("XDG_RUNTIME_DIR", "")
	store, done, err := testkit.Open("bin")
	if err != nil {
		t.Fatal(err)
	}
	inHost := filepath.Join(filepath.Dir(store.Data), "wherry")
	if err := os.WriteFile(inHost, fmt.Appendf(nil, "#!/bin/sh\nexec nsenter --net=/run/netns/%s %s \"$@\"\n", n.host, store.Bin), 0o755); err != nil {
		t.Fatal(err)
	}
	moved := *store
	moved.Bin = inHost
	n.Store = &moved
	t.Cleanup(func() {
		n.Try(t, "rm", "-f", "-t", "0", "-a")
		done()
	})
	return n
}

// in runs a command line in one of the namespaces and returns what it says.
func (n *rootNet) in(t *testing.T, where, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	out, _ := exec.CommandContext(ctx, "ip", "netns", "exec", where, "sh", "-c", script).Output()
	return strings.TrimSpace(string(out))
}

// busybox is one of the host's own: the containers' image has the same.
func busybox(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("busybox is not installed")
	}
	return path
}

// ask is what a client hears.
func ask(busybox, address, port string) string {
	return fmt.Sprintf("for i in 1 2 3 4 5; do timeout 2 %s nc -w 1 %s %s </dev/null | head -n 1 | grep . && break; sleep 0.1; done", busybox, address, port)
}

// As root the bridges are on the host's own namespace. What others have there stays; what they flush, reload brings back.
// flag: network create --internal
// flag: network reload
func TestRootNetwork(t *testing.T) {
	n, box := newRootNet(t), busybox(t)
	const foreign = "table inet foreign {\n\tchain input {\n\t\ttype filter hook input priority 5; policy accept;\n\t\ttcp dport 9 counter drop\n\t}\n}"
	n.in(t, n.host, "echo '"+foreign+"' | nft -f -")
	before := n.in(t, n.host, "nft -s list table inet foreign")
	n.Must(t, "network", "create", "--subnet", "10.207.0.0/24", "front")
	n.Must(t, "network", "create", "--subnet", "10.207.1.0/24", "--internal", "back")
	n.Must(t, "run", "-d", "--name", "web", "--network", "front", "--ip", "10.207.0.9", "-p", "8080:80", testkit.Image, "sh", "-c", greet)
	want(t, "the published port, from another machine", n.in(t, n.outside, ask(box, rootHost, "8080")), "hello")
	want(t, "the container, from the host", n.in(t, n.host, ask(box, "10.207.0.9", "80")), "hello")
	want(t, "by name, from a sibling", hears(t, n.Store, "front", "web", "80"), "hello")
	want(t, "from another network", hears(t, n.Store, "back", "10.207.0.9", "80"), "")

	listener := exec.Command("ip", "netns", "exec", n.outside, "sh", "-c", "while true; do echo outside | "+box+" nc -l -p 9000; done")
	listener.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := listener.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { syscall.Kill(-listener.Process.Pid, syscall.SIGKILL); listener.Wait() }()
	want(t, "the world, from the network", hears(t, n.Store, "front", rootOutside, "9000"), "outside")
	want(t, "the world, from an internal network", hears(t, n.Store, "back", rootOutside, "9000"), "")
	want(t, "the rules of others", n.in(t, n.host, "nft -s list table inet foreign"), before)

	n.in(t, n.host, "nft flush ruleset")
	want(t, "the world, after somebody flushed all rules", n.Try(t, "exec", "web", "timeout", "1", "nc", "-w", "1", rootOutside, "9000").Out(), "")
	n.Must(t, "network", "reload", "web")
	want(t, "the world, after network reload", n.Must(t, "exec", "web", "sh", "-c", "nc -w 1 "+rootOutside+" 9000 </dev/null | head -n 1"), "outside")

	n.Must(t, "rm", "-f", "-t", "0", "web")
	want(t, "the port of a container that is gone", n.in(t, n.host, "ss -Hltn 'sport = :8080' | wc -l"), "0")
	n.Must(t, "network", "rm", "front", "back")
	want(t, "interfaces that are left", n.in(t, n.host, "ip -o link | grep -cvE ': (lo|up0)[@:]'"), "0")
	want(t, "rules that are left", n.in(t, n.host, "nft list tables | grep wherry"), "")
}

// A container on a macvlan is a machine of its own on the link.
// flag: network create --driver --opt
func TestRootMacvlan(t *testing.T) {
	n, box := newRootNet(t), busybox(t)
	if _, err := os.Stat("/usr/lib/cni/macvlan"); err != nil {
		t.Skip("containernetworking-plugins is not installed")
	}
	n.Must(t, "network", "create", "--driver", "macvlan", "--opt", "parent=up0", "--subnet", "198.51.100.0/24", "--gateway", rootOutside, "link")
	n.Must(t, "run", "-d", "--name", "lan", "--network", "link", "--ip", "198.51.100.77", testkit.Image, "sh", "-c", greet)
	want(t, "a container on the link, from another machine", n.in(t, n.outside, ask(box, "198.51.100.77", "80")), "hello")
	mac := n.Must(t, "exec", "lan", "cat", "/sys/class/net/eth0/address")
	want(t, "the neighbour's address", n.in(t, n.outside, "ip neigh show 198.51.100.77 | grep -c "+mac), "1")
	n.Must(t, "rm", "-f", "-t", "0", "lan")
	n.Must(t, "network", "rm", "link")
}
