package system

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/network/state"
	"github.com/wherry-containers/wherry/pkg/testkit"
)

// netDir is where a store keeps the run-time state of its networks.
func netDir(s *testkit.Store) state.Dir { return state.Dir(filepath.Join(s.Run, "net")) }

// addressOf is the container's address on a network, from what is written for wherry-net.
func addressOf(t *testing.T, s *testkit.Store, name, network string) string {
	t.Helper()
	for _, a := range netDir(s).ListAttachments() {
		if end := a.On(network); a.Name == name && end != nil && len(end.IPs) > 0 {
			return end.IPs[0].Addr().String()
		}
	}
	t.Fatalf("container %s is not on network %s", name, network)
	return ""
}

// networkFor makes a network for this test and removes it at its end.
func networkFor(t *testing.T, s *testkit.Store, flags ...string) string {
	t.Helper()
	name := strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-")) + fmt.Sprint(networksMade.Add(1))
	s.Must(t, append(append([]string{"network", "create"}, flags...), name)...)
	t.Cleanup(func() { s.Try(t, "network", "rm", "-f", "-t", "0", name) })
	return name
}

var networksMade atomic.Int32

const greet = "while true; do echo hello | nc -l -p 80; done"

// server starts a container that says hello on port 80.
func server(t *testing.T, s *testkit.Store, flags ...string) string {
	t.Helper()
	name := s.Name(t) + fmt.Sprint(len(flags))
	t.Cleanup(func() { s.Try(t, "rm", "-f", "-t", "0", name) })
	s.Must(t, append(append([]string{"run", "-d", "--name", name}, flags...), testkit.Image, "sh", "-c", greet)...)
	return name
}

// onNet runs a script in a new container with the flags and returns what it says.
func onNet(t *testing.T, script string, flags ...string) string {
	t.Helper()
	return shared.Must(t, append(append([]string{"run", "--rm"}, flags...), testkit.Image, "sh", "-c", script)...)
}

// hears tells what a new container on the network hears from an address.
func hears(t *testing.T, s *testkit.Store, network, address, port string) string {
	t.Helper()
	return s.Try(t, "run", "--rm", "--network", network, testkit.Image, "sh", "-c",
		"for i in 1 2 3 4 5; do timeout 2 nc -w 1 "+address+" "+port+" </dev/null | head -n 1 | grep . && break; done").Out()
}

// flag: run --network
func TestBridgeSiblings(t *testing.T) {
	t.Parallel()
	name := server(t, shared, "--network", "bridge")
	want(t, "a sibling by address", hears(t, shared, "bridge", addressOf(t, shared, name, "bridge"), "80"), "hello")
}

func TestBridgeReachesTheWorldButNotTheHostsLoopback(t *testing.T) {
	t.Parallel()
	addr := hostAddress(t)
	open, closed := answer(t, addr), answer(t, "127.0.0.1")
	want(t, "a server on the host's address", hears(t, shared, "bridge", addr, open), "hello")
	gateway := onNet(t, "ip route | awk '/^default/{print $3}'", "--network", "bridge")
	for _, host := range []string{gateway, "10.0.2.2", "127.0.0.1"} {
		want(t, "the host's loopback by "+host, shared.Try(t, "run", "--rm", "--network", "bridge", testkit.Image, "timeout", "1", "nc", "-w", "1", host, closed).Out(), "")
	}
}

// flag: run --network-alias
func TestNetworkNames(t *testing.T) {
	t.Parallel()
	net := networkFor(t, shared)
	name := server(t, shared, "--network", net+":alias=first", "--network-alias", "second")
	id := shared.Must(t, "inspect", "--format", "{{.Id}}", name)
	for _, host := range []string{name, "first", "second", id[:12]} {
		want(t, "by "+host, hears(t, shared, net, host, "80"), "hello")
	}
}

func TestNetworksAreApart(t *testing.T) {
	t.Parallel()
	here, there := networkFor(t, shared), networkFor(t, shared)
	name := server(t, shared, "--network", there)
	addr := addressOf(t, shared, name, there)
	want(t, "on its own network", hears(t, shared, there, addr, "80"), "hello")
	for _, from := range []string{here, "bridge"} {
		probe := shared.Try(t, "run", "--rm", "--network", from, testkit.Image, "sh", "-c",
			"timeout 1 nc -w 1 "+addr+" 80; nslookup "+name+" 2>/dev/null | grep "+addr)
		want(t, "from "+from, probe.Out(), "")
	}
}

func TestOpenNetworksExchangePackets(t *testing.T) {
	t.Parallel()
	here, there := networkFor(t, shared, "--opt", "isolate=false"), networkFor(t, shared, "--opt", "isolate=false")
	name := server(t, shared, "--network", there)
	want(t, "across", hears(t, shared, here, addressOf(t, shared, name, there), "80"), "hello")
}

func TestInternalNetwork(t *testing.T) {
	t.Parallel()
	net, addr := networkFor(t, shared, "--internal"), hostAddress(t)
	name := server(t, shared, "--network", net)
	want(t, "within", hears(t, shared, net, addressOf(t, shared, name, net), "80"), "hello")
	want(t, "out", shared.Try(t, "run", "--rm", "--network", net, testkit.Image, "timeout", "1", "nc", "-w", "1", addr, answer(t, addr)).Out(), "")
	// With a route of its own it must be the rules that stop it.
	sub := addressOf(t, shared, name, net)
	gw := sub[:strings.LastIndex(sub, ".")] + ".1"
	got := shared.Try(t, "run", "--rm", "--cap-add", "NET_ADMIN", "--network", net, testkit.Image, "sh", "-c",
		"ip route add default via "+gw+" && timeout 1 nc -w 1 "+addr+" "+answer(t, addr)).Out()
	want(t, "out by a route of its own", got, "")
}

// flag: run --ip --ip6 --mac-address
func TestAddressesAndInterfaces(t *testing.T) {
	t.Parallel()
	a, b := networkFor(t, shared, "--subnet", "10.201.7.0/24", "--ip-range", "10.201.7.128/25"), networkFor(t, shared, "--ipv6", "--interface-name", "wtest0")
	got := onNet(t, "ip -o -4 addr show lan0 | awk '{print $4}'; cat /sys/class/net/lan0/address; ip -o -6 addr show scope global | awk '{print $2}'; ls /sys/class/net | tr '\n' ' '",
		"--network", a+":ip=10.201.7.9,mac=02:00:00:00:00:09,interface_name=lan0", "--network", b)
	want(t, "as asked", got, "10.201.7.9/24\n02:00:00:00:00:09\neth0\neth0 lan0 lo ")
	got = onNet(t, "ip -o -4 addr show eth0 | awk '{print $4}'; ip -o link show eth0 | grep -o 02:00:00:00:00:0a", "--network", a, "--mac-address", "02:00:00:00:00:0a")
	want(t, "from the range", got, "10.201.7.128/24\n02:00:00:00:00:0a")
	both := networkFor(t, shared, "--subnet", "10.201.8.0/24", "--subnet", "fd57:4852:5259:aa::/64")
	got = onNet(t, "ip -o -6 addr show scope global | awk '{print $4}'; ping -6 -c 1 -W 2 fd57:4852:5259:aa::1 >/dev/null && echo up", "--network", both, "--ip6", "fd57:4852:5259:aa::7")
	want(t, "IPv6", got, "fd57:4852:5259:aa::7/64\nup")
	name := server(t, shared, "--network", a, "--ip", "10.201.7.20")
	shared.MustFail(t, 125, `address 10.201.7.20 of network "`+a+`" is taken by container "`+name+`"`, "run", "--rm", "--network", a, "--ip", "10.201.7.20", testkit.Image, "true")
	shared.MustFail(t, 125, "is outside network", "run", "--rm", "--network", a, "--ip", "10.202.0.1", testkit.Image, "true")
	shared.MustFail(t, 125, "is the gateway", "run", "--rm", "--network", a, "--ip", "10.201.7.1", testkit.Image, "true")
	shared.MustFail(t, 1, "is in use by "+name, "network", "rm", a)
	shared.Must(t, "rm", "-f", "-t", "0", name)
	shared.Must(t, "network", "rm", a)
}

func TestConnectAndDisconnect(t *testing.T) {
	t.Parallel()
	first, second := networkFor(t, shared), networkFor(t, shared)
	name := server(t, shared, "--network", first)
	shared.Must(t, "network", "connect", "--alias", "extra", second, name)
	want(t, "connected", hears(t, shared, second, "extra", "80"), "hello")
	shared.MustFail(t, 125, "already", "network", "connect", second, name)
	shared.Must(t, "restart", "-t", "0", name)
	want(t, "after a restart", hears(t, shared, second, "extra", "80"), "hello")
	shared.Must(t, "network", "disconnect", second, name)
	want(t, "interfaces", shared.Must(t, "exec", name, "sh", "-c", "ls /sys/class/net | tr '\n' ' '"), "eth0 lo ")
	shared.MustFail(t, 125, "is not on network", "network", "disconnect", second, name)
	want(t, "the first stays", hears(t, shared, first, name, "80"), "hello")
}

func TestSharedNetworkOfAContainer(t *testing.T) {
	t.Parallel()
	name := server(t, shared, "--network", "bridge")
	want(t, "its loopback and files", hears(t, shared, "container:"+name, "127.0.0.1", "80"), "hello")
	hosts := shared.Must(t, "exec", name, "cat", "/etc/hosts")
	want(t, "its hosts", onNet(t, "cat /etc/hosts", "--network", "container:"+name), hosts)
	shared.MustFail(t, 125, "does not go with --network container", "run", "--rm", "--network", "container:"+name, "-p", "8080:80", testkit.Image, "true")
	pid := shared.Must(t, "inspect", "--format", "{{.State.Pid}}", name)
	want(t, "by path", hears(t, shared, "ns:/proc/"+pid+"/ns/net", "127.0.0.1", "80"), "hello")
}

// flag: run --link --no-hostname --no-hosts
func TestHostFilesOnNetworks(t *testing.T) {
	t.Parallel()
	net := networkFor(t, shared)
	name := server(t, shared, "--network", net)
	got := onNet(t, `ip=$(ip -o -4 addr show eth0 | awk '{print $4}' | cut -d/ -f1); grep -c "^$ip.me$" /etc/hosts; grep -q "^$ip.*me" /etc/hosts && cat /etc/hostname; grep buddy /etc/hosts | wc -l`,
		"--network", net, "--hostname", "me", "--link", name+":buddy")
	want(t, "own name and link", got, "1\nme\n1")
	want(t, "host-gateway", onNet(t, "awk '/gate/{print $1}' /etc/hosts", "--network", "bridge", "--add-host", "gate:host-gateway"), hostAddress(t))
	got = onNet(t, "cat /etc/resolv.conf", "--network", "bridge", "--dns", "192.0.2.53", "--dns-search", "example.org", "--dns-option", "ndots:3")
	want(t, "resolv.conf", got, "nameserver 192.0.2.53\nsearch example.org\noptions ndots:3")
	got = onNet(t, "cat /etc/resolv.conf | head -n 1; cat /etc/resolv.conf | tail -n 1", "--network", net)
	addr := addressOf(t, shared, name, net)
	want(t, "names of the network", got, "nameserver "+addr[:strings.LastIndex(addr, ".")]+".1\noptions ndots:0")
	got = onNet(t, "cat /etc/hosts /etc/hostname /etc/resolv.conf 2>/dev/null | wc -c", "--network", "bridge", "--no-hosts", "--no-hostname", "--dns", "none")
	want(t, "the image's files", got, "0")
}

// fetch reads what a port of this machine says.
func fetch(address string) string {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return ""
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * time.Second))
	buf := make([]byte, 64)
	n, _ := conn.Read(buf)
	return strings.TrimSpace(string(buf[:n]))
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// flag: run --publish
func TestPublishedPort(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	name := server(t, shared, "--network", "bridge", "-p", "127.0.0.1:"+port+":80")
	testkit.Eventually(t, "the port answers", func() bool { return fetch("127.0.0.1:"+port) == "hello" })
	want(t, "port", shared.Must(t, "port", name, "80"), "127.0.0.1:"+port)
	want(t, "ps", shared.Must(t, "ps", "--filter", "name="+name, "--format", "{{.Ports}}"), "127.0.0.1:"+port+"->80/tcp")
	shared.MustFail(t, 125, "in use by container", "run", "--rm", "--network", "bridge", "-p", "127.0.0.1:"+port+":80", testkit.Image, "true")
	shared.Must(t, "stop", "-t", "0", name)
	testkit.Eventually(t, "nothing listens", func() bool {
		conn, err := net.DialTimeout("tcp", "127.0.0.1:"+port, time.Second)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	shared.Must(t, "start", name)
	testkit.Eventually(t, "the port answers again", func() bool { return fetch("127.0.0.1:"+port) == "hello" })
}

// flag: run --expose --publish-all
func TestPublishAllAndRandomPorts(t *testing.T) {
	t.Parallel()
	name := server(t, shared, "--network", "bridge", "-P", "--expose", "80", "-p", "81")
	var ports []string
	for _, line := range strings.Split(shared.Must(t, "port", name), "\n") {
		inside, at, _ := strings.Cut(line, " -> ")
		ports = append(ports, inside)
		if inside == "80/tcp" {
			_, port, _ := net.SplitHostPort(at)
			testkit.Eventually(t, "the exposed port answers", func() bool { return fetch("127.0.0.1:"+port) == "hello" })
		}
	}
	slices.Sort(ports)
	want(t, "ports", strings.Join(ports, " "), "80/tcp 81/tcp")
	shared.MustFail(t, 125, "kept for root", "run", "--rm", "--network", "bridge", "-p", "81:81", testkit.Image, "true")
	shared.MustFail(t, 125, "sctp", "run", "--rm", "-p", "8080:80/sctp", testkit.Image, "true")
}

// The namespace, the uplink and wherry-net end after the last container, and nothing is left of them.
func TestNetworkEndsWithTheLastContainer(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	s.Must(t, "run", "--rm", "--network", "bridge", testkit.Image, "true")
	var uplink, helper state.Process
	dir := netDir(s)
	if err := state.Read(dir.UplinkFile(), &uplink); err != nil || !uplink.Alive() {
		t.Fatalf("no uplink: %v", err)
	}
	state.Read(dir.NetFile(), &helper)
	testkit.Eventually(t, "uplink and wherry-net end", func() bool { return !uplink.Alive() && !helper.Alive() })
	for _, path := range []string{dir.Namespace(), dir.NetFile(), dir.Control(), dir.Networks(), filepath.Join(string(dir), "leases")} {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is left", path)
		}
	}
	s.Must(t, "run", "--rm", "--network", "bridge", testkit.Image, "true")
}

// A start mends what was killed, and containers that run keep their addresses.
func TestKilledUplinkAndHelperComeBack(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	s.Must(t, "network", "create", "net")
	s.Must(t, "run", "-d", "--name", "one", "--network", "net", testkit.Image, "sh", "-c", greet)
	before := addressOf(t, s, "one", "net")
	for _, file := range []string{netDir(s).UplinkFile(), netDir(s).NetFile()} {
		var p state.Process
		if err := state.Read(file, &p); err != nil {
			t.Fatal(err)
		}
		kill(t, p.Pid)
		testkit.Eventually(t, "killed", func() bool { return !p.Alive() })
	}
	want(t, "by name", hears(t, s, "net", "one", "80"), "hello")
	addr := hostAddress(t)
	want(t, "the world", hears(t, s, "net", addr, answer(t, addr)), "hello")
	want(t, "the address", addressOf(t, s, "one", "net"), before)
	want(t, "in the container", s.Must(t, "exec", "one", "sh", "-c", "ip -o -4 addr show eth0 | awk '{print $4}' | cut -d/ -f1"), before)
}

func kill(t *testing.T, pid int) {
	t.Helper()
	p, err := os.FindProcess(pid)
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A hundred starts and stops on one network from eight processes: no start fails, and no two that run have one address.
func TestManyOnOneNetwork(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	s.Must(t, "network", "create", "net")
	var all sync.WaitGroup
	var mu sync.Mutex
	held := map[string]string{}
	for worker := range 8 {
		all.Go(func() {
			for round := range 13 {
				name := fmt.Sprintf("c%d-%d", worker, round)
				if r := s.Try(t, "run", "-d", "--name", name, "--network", "net", testkit.Image, "sleep", "1000"); r.Code != 0 {
					t.Errorf("%s: exit %d %s", name, r.Code, r.Stderr)
					return
				}
				addr := s.Must(t, "inspect", "--format", "{{.NetworkSettings.IPAddress}}", name)
				mu.Lock()
				if other := held[addr]; other != "" || addr == "" {
					t.Errorf("%s and %s both have %q", name, other, addr)
				}
				held[addr] = name
				mu.Unlock()
				mu.Lock()
				delete(held, addr)
				mu.Unlock()
				if r := s.Try(t, "rm", "-f", "-t", "0", name); r.Code != 0 {
					t.Errorf("rm %s: %s", name, r.Stderr)
				}
			}
		})
	}
	all.Wait()
	if left := leasesOf(s, "net"); len(left) > 0 {
		t.Errorf("leases are left: %v", left)
	}
	s.Must(t, "network", "rm", "net")
}

// leasesOf are the addresses that are leased now.
func leasesOf(s *testkit.Store, network string) []string {
	var all []string
	for _, name := range entries(filepath.Join(string(netDir(s)), "leases", network)) {
		if _, err := netip.ParseAddr(name); err == nil {
			all = append(all, name)
		}
	}
	return all
}

// An address whose monitor and container were killed is free for the next one that asks.
func TestLeaseOfTheDeadIsTakenOver(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	s.Must(t, "network", "create", "--subnet", "10.203.0.0/29", "net")
	s.Must(t, "run", "-d", "--name", "one", "--network", "net", "--ip", "10.203.0.3", testkit.Image, "sleep", "1000")
	pid := s.Must(t, "inspect", "--format", "{{.State.Pid}}", "one")
	for _, p := range append(s.Monitors(), atoi(t, pid)) {
		kill(t, p)
	}
	testkit.Eventually(t, "the address is free", func() bool {
		return s.Try(t, "run", "--rm", "--network", "net", "--ip", "10.203.0.3", testkit.Image, "true").Code == 0
	})
}

func atoi(t *testing.T, s string) (n int) {
	t.Helper()
	if _, err := fmt.Sscan(s, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestBrokenNetworkConfiguration(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	dir := filepath.Join(s.Data, "networks")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ content, says string }{
		"notjson": {"{", "it is not JSON"},
		"noplug":  {`{"cniVersion":"1.0.0","name":"noplug"}`, "field plugins is missing"},
		"notype":  {`{"cniVersion":"1.0.0","name":"notype","plugins":[{"bridge":"x"}]}`, "type"},
		"field":   {`{"cniVersion":"1.1.0","name":"field","plugins":[{"type":"wherry-bridge","mtu":"big"}]}`, "plugins[0].mtu"},
		"named":   {`{"cniVersion":"1.0.0","name":"other","plugins":[{"type":"x"}]}`, `field name is "other"`},
	} {
		if err := os.WriteFile(filepath.Join(dir, name+".conflist"), []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		r := s.MustFail(t, 125, c.says, "run", "--rm", "--network", name, testkit.Image, "true")
		if !strings.Contains(r.Stderr, name+".conflist") {
			t.Errorf("%s: the file is not named: %s", name, r.Stderr)
		}
		s.Must(t, "network", "rm", name)
	}
	os.WriteFile(filepath.Join(dir, "foreign.conflist"), []byte(`{"cniVersion":"1.0.0","name":"foreign","plugins":[{"type":"no-such-plugin"}]}`), 0o600)
	s.MustFail(t, 125, `CNI plugin "no-such-plugin" is in none of /`, "run", "--rm", "--network", "foreign", testkit.Image, "true")
	s.MustFail(t, 125, `there is no network "nowhere"`, "run", "--rm", "--network", "nowhere", testkit.Image, "true")
	want(t, "containers left", s.Must(t, "ps", "-aq"), "")
}

// A network of plugins of the CNI project: executed, its addresses by host-local, DEL called at the end.
func TestForeignPlugins(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/usr/lib/cni/bridge"); err != nil {
		t.Skip("the CNI project's plugins are not installed (apt install containernetworking-plugins)")
	}
	s := ownStore(t)
	dir := filepath.Join(s.Data, "networks")
	os.MkdirAll(dir, 0o700)
	leases := t.TempDir()
	conf := `{"cniVersion":"1.0.0","name":"foreign","plugins":[{"type":"bridge","bridge":"cni9","isGateway":true,"ipMasq":false,
		"ipam":{"type":"host-local","dataDir":"` + leases + `","ranges":[[{"subnet":"10.204.0.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}},{"type":"tuning","sysctl":{"net.core.somaxconn":"511"}}]}`
	if err := os.WriteFile(filepath.Join(dir, "foreign.conflist"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Must(t, "run", "-d", "--name", "one", "--network", "foreign", testkit.Image, "sh", "-c", greet)
	want(t, "a sibling", hears(t, s, "foreign", addressOf(t, s, "one", "foreign"), "80"), "hello")
	want(t, "tuning", s.Must(t, "exec", "one", "cat", "/proc/sys/net/core/somaxconn"), "511")
	s.Must(t, "rm", "-f", "-t", "0", "one")
	s.Must(t, "run", "--rm", "--network", "foreign", testkit.Image, "true")
	s.Must(t, "network", "ls") // any command about networks ends what is left
	testkit.Eventually(t, "host-local's leases are gone", func() bool {
		s.Try(t, "network", "ls")
		left := slices.DeleteFunc(entries(filepath.Join(leases, "foreign")), func(n string) bool { return !strings.HasPrefix(n, "10.") })
		return len(left) == 0
	})
}

func TestNetworkInspectShowsContainers(t *testing.T) {
	t.Parallel()
	net := networkFor(t, shared, "--label", "a=b")
	name := server(t, shared, "--network", net)
	var docs []struct {
		Containers map[string]struct{ Name, IPv4Address string }
		Labels     map[string]string
	}
	if err := json.Unmarshal([]byte(shared.Must(t, "network", "inspect", net)), &docs); err != nil || len(docs) != 1 {
		t.Fatal(err)
	}
	for _, c := range docs[0].Containers {
		want(t, "container", c.Name+" "+c.IPv4Address, name+" "+addressOf(t, shared, name, net)+"/24")
	}
	want(t, "ls", shared.Must(t, "network", "ls", "-q", "--filter", "label=a=b", "--filter", "name="+net), net)
	want(t, "exists", fmt.Sprint(shared.Try(t, "network", "exists", net).Code, shared.Try(t, "network", "exists", "nope").Code), "0 1")
}
