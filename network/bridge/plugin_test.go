package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/skel"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"github.com/wherry-containers/wherry/network/state"
	"golang.org/x/sys/unix"
)

const sample = `{"cniVersion":"1.1.0","name":"net","type":"wherry-bridge","bridge":"wtest9","subnets":[{"subnet":"10.205.0.0/29","gateway":"10.205.0.1"}]}`

func TestParseConf(t *testing.T) {
	for text, wrong := range map[string]string{
		sample:                                   "",
		`{`:                                      "unexpected end",
		`{"name":"n","bridge":"","subnets":[]}`:  "field bridge",
		`{"name":"n","bridge":"b","subnets":[]}`: "field subnets",
		`{"name":"n","bridge":"b","subnets":[{"subnet":"10.0.0.1/24"}]}`:                                    "host bits",
		`{"name":"n","bridge":"b","subnets":[{"subnet":"10.0.0.0/24","gateway":"10.0.1.1"}]}`:               "gateway",
		`{"name":"n","bridge":"b","mtu":9,"subnets":[{"subnet":"10.0.0.0/24"}]}`:                            "field mtu",
		`{"name":"n","bridge":"b","vlan":5000,"subnets":[{"subnet":"10.0.0.0/24"}]}`:                        "field vlan",
		`{"name":"n","bridge":"b","subnets":[{"subnet":"10.0.0.0/24"}],"runtimeConfig":{"mac":"x"}}`:        "MAC address",
		`{"name":"n","bridge":"b","subnets":[{"subnet":"10.0.0.0/24","rangeEnd":"10.0.1.0"}]}`:              "range",
		`{"name":"n","bridge":"b","subnets":[{"subnet":"not a subnet"}]}`:                                   "subnet",
		`{"name":"n","bridge":"b","subnets":[{"subnet":"10.0.0.0/24"}],"runtimeConfig":{"ips":["10.0.0"]}}`: "",
	} {
		_, err := ParseConf([]byte(text))
		if wrong == "" && err != nil || wrong != "" && (err == nil || !strings.Contains(err.Error(), wrong)) {
			t.Errorf("%s: %v, want %q", text, err, wrong)
		}
	}
}

func FuzzParseConf(f *testing.F) {
	f.Add([]byte(sample))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseConf(data)
		if err != nil {
			return
		}
		for _, s := range c.Subnets {
			first, last := s.bounds()
			if !s.Subnet.Contains(first) && first.IsValid() || last.IsValid() && !s.Subnet.Contains(last) {
				t.Errorf("%s: %s to %s", s.Subnet, first, last)
			}
		}
	})
}

func TestBounds(t *testing.T) {
	for in, want := range map[string]string{"10.0.0.0/24": "10.0.0.1 10.0.0.254", "10.0.0.0/31": "10.0.0.1 10.0.0.1", "fd00::/126": "fd00::1 fd00::3"} {
		first, last := Subnet{Subnet: netip.MustParsePrefix(in)}.bounds()
		if got := first.String() + " " + last.String(); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// leasing is a pool whose interfaces are those of present.
func leasing(t *testing.T, present map[string]bool) *pool {
	dir := state.Dir(filepath.Join(t.TempDir(), "net"))
	return &pool{dir: LeaseDir(dir, "net"), network: "net", state: dir, present: func(name string) bool { return present[name] }}
}

func TestLeasesAreExclusiveAndRoundRobin(t *testing.T) {
	p := leasing(t, nil)
	s := Subnet{Subnet: netip.MustParsePrefix("10.0.0.0/29"), Gateway: netip.MustParseAddr("10.0.0.1")}
	var got []string
	for i := range 5 {
		addr, err := p.take(s, netip.Addr{}, lease{ID: fmt.Sprint("c", i), Interface: "eth0", Host: "v", Owner: state.Process{}})
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, addr.String())
	}
	if want := "10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5 10.0.0.6"; strings.Join(got, " ") != want {
		t.Errorf("got %v", got)
	}
	if _, err := p.take(s, netip.Addr{}, lease{ID: "more"}); err == nil || !strings.Contains(err.Error(), "no free address") {
		t.Errorf("a full network: %v", err)
	}
	if _, err := p.take(s, netip.MustParseAddr("10.0.0.4"), lease{ID: "more"}); err == nil || !strings.Contains(err.Error(), `taken by container "c2"`) {
		t.Errorf("a taken address: %v", err)
	}
	if err := Release(p.path(netip.MustParseAddr("10.0.0.4")), "another"); err != nil || p.read(netip.MustParseAddr("10.0.0.4")) == nil {
		t.Error("somebody else's lease was released")
	}
	Release(p.path(netip.MustParseAddr("10.0.0.4")), "c2")
	if addr, err := p.take(s, netip.Addr{}, lease{ID: "more"}); err != nil || addr.String() != "10.0.0.4" {
		t.Errorf("after a release: %v, %v", addr, err)
	}
}

func TestLeaseOfTheDead(t *testing.T) {
	present := map[string]bool{"veth1": true}
	p := leasing(t, present)
	s := Subnet{Subnet: netip.MustParsePrefix("10.0.0.0/29"), Gateway: netip.MustParseAddr("10.0.0.1")}
	addr := netip.MustParseAddr("10.0.0.2")
	dead := state.Process{Pid: 1 << 30, Start: 1, BootID: "x"}
	if _, err := p.take(s, addr, lease{ID: "one", Interface: "eth0", Host: "veth1", Owner: dead}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.take(s, addr, lease{ID: "two", Interface: "eth0", Host: "veth2", Owner: dead}); err == nil {
		t.Error("taken over while its interface is there")
	}
	delete(present, "veth1")
	if _, err := p.take(s, addr, lease{ID: "two", Interface: "eth0", Host: "veth2", Owner: dead}); err != nil {
		t.Errorf("not taken over: %v", err)
	}
}

// inNamespace runs fn as root in a network namespace of its own.
func inNamespace(t *testing.T, fn func()) {
	t.Helper()
	if os.Getuid() != 0 || os.Getenv("WHERRY_TEST_ROOT") == "" {
		t.Skip("this is for root (WHERRY_TEST_ROOT)")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with its namespace
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Error(err)
			return
		}
		fn()
	}()
	<-done
}

// otherNamespace makes a namespace for a container and returns a path of it.
func otherNamespace(t *testing.T) string {
	t.Helper()
	var f *os.File
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err == nil {
			f, _ = os.Open("/proc/thread-self/ns/net")
		}
	}()
	<-done
	if f == nil {
		t.Fatal("no namespace")
	}
	t.Cleanup(func() { f.Close() })
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd())
}

func TestCommands(t *testing.T) {
	inNamespace(t, func() {
		ctx, p := context.Background(), &Plugin{Dir: state.Dir(filepath.Join(t.TempDir(), "net"))}
		args := &skel.CmdArgs{ContainerID: "one", Netns: otherNamespace(t), IfName: "eth0", StdinData: []byte(sample)}
		res, c, err := p.Add(ctx, args)
		if err != nil {
			t.Error(err)
			return
		}
		r := res.(*types100.Result)
		if got := r.IPs[0].Address.String(); got != "10.205.0.2/29" {
			t.Errorf("address %s", got)
		}
		if err := p.Status(ctx, args); err != nil {
			t.Error(err)
		}
		check := *args
		check.StdinData = withPrevious(t, r)
		if err := p.Check(ctx, &check); err != nil {
			t.Errorf("CHECK of what ADD made: %v", err)
		}
		if _, _, err := p.Add(ctx, args); err == nil {
			t.Error("a second ADD of the same interface works")
		}
		checkReload(t, p, c)
		for range 2 {
			if err := p.Del(ctx, args); err != nil {
				t.Errorf("DEL: %v", err)
			}
		}
		if err := p.Check(ctx, &check); err == nil {
			t.Error("CHECK finds what DEL removed")
		}
		again := *args
		again.ContainerID, again.Netns = "two", otherNamespace(t)
		if _, _, err := p.Add(ctx, &again); err != nil {
			t.Error(err)
		}
		if err := p.GC(ctx, args); err != nil {
			t.Error(err)
		}
		if left, _ := filepath.Glob(LeaseDir(p.Dir, "net") + "/10.*"); len(left) > 0 {
			t.Errorf("GC left %v", left)
		}
		if err := RemoveBridge(p.Dir, "net"); err != nil {
			t.Error(err)
		}
		if links, _ := netlink.LinkList(); len(links) != 1 {
			t.Errorf("%d interfaces are left", len(links))
		}
	})
}

func withPrevious(t *testing.T, r *types100.Result) []byte {
	t.Helper()
	conf := map[string]any{}
	if err := json.Unmarshal([]byte(sample), &conf); err != nil {
		t.Fatal(err)
	}
	r.CNIVersion = "1.1.0"
	conf["prevResult"] = r
	data, err := json.Marshal(conf)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// checkReload flushes everything that nftables holds and lets Reload make the table anew.
func checkReload(t *testing.T, p *Plugin, _ *Conf) {
	t.Helper()
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	count := func() int {
		rules := 0
		chains, _ := conn.ListChains()
		for _, chain := range chains {
			if chain.Table.Name == Table {
				all, _ := conn.GetRules(chain.Table, chain)
				rules += len(all)
			}
		}
		return rules
	}
	before := count()
	conn.FlushRuleset()
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	if before == 0 || count() != 0 {
		t.Errorf("%d rules, %d after the flush", before, count())
	}
	if err := Reload(p.Dir); err != nil || count() != before {
		t.Errorf("after reload %d rules, want %d: %v", count(), before, err)
	}
}
