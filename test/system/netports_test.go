package system

import (
	"bufio"
	"debug/elf"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// serving starts a container on a network of its own whose port 80 tells each client the client's address.
func serving(t *testing.T, s *testkit.Store, flags ...string) string {
	t.Helper()
	name := s.Name(t)
	const server = `echo 'netstat -tn 2>/dev/null | awk "/:80 .*ESTABLISHED/{print \$5; exit}"' > /who; chmod 755 /who
nc -ll -p 80 -e sh /who & echo ready; wait`
	upAs(t, s, name, server, append([]string{"--network", bridged(t, s, "-n")}, flags...)...)
	return name
}

// published is the host's port of a container's port.
func published(t *testing.T, s *testkit.Store, name, port string) string {
	t.Helper()
	for _, p := range attachment(t, s, name).Ports {
		if strconv.Itoa(int(p.ContainerPort)) == port {
			return strconv.Itoa(int(p.HostPort))
		}
	}
	t.Fatalf("%s publishes no %s: %v", name, port, attachment(t, s, name).Ports)
	return ""
}

// hear connects to an address and returns the first line it hears; nobody there is "closed".
func hear(address string) string {
	conn, err := net.DialTimeout("tcp", address, 2*time.Second)
	if err != nil {
		return "closed"
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line)
}

func seenAs(address string) string {
	host, _, err := net.SplitHostPort(strings.TrimPrefix(hear(address), "::ffff:"))
	if err != nil {
		return "nothing"
	}
	return strings.TrimPrefix(strings.Trim(host, "[]"), "::ffff:")
}

// free tells whether anybody could listen on the port now.
func free(port string) bool {
	l, err := net.Listen("tcp", ":"+port)
	if err != nil {
		return false
	}
	l.Close()
	u, err := net.ListenPacket("udp", ":"+port)
	if err != nil {
		return false
	}
	u.Close()
	return true
}

func TestPublishedPortKeepsItsClient(t *testing.T) {
	t.Parallel()
	host := hostAddress(t)
	name := serving(t, shared, "-p", "80")
	port := published(t, shared, name, "80")
	gateway := attachment(t, shared, name).Networks[0].Gateways[0].String()
	want(t, "a client that is not on the loopback", seenAs(net.JoinHostPort(host, port)), host)
	want(t, "one on the loopback, which has no address in there", seenAs("127.0.0.1:"+port), gateway)
	if _, err := os.Stat("/proc/net/if_inet6"); err == nil {
		want(t, "IPv6", seenAs("[::1]:"+port), gateway)
	}
	want(t, "port", shared.Must(t, "port", name, "80"), "0.0.0.0:"+port)
}

func TestPublishedOnOneAddressOnly(t *testing.T) {
	t.Parallel()
	host := hostAddress(t)
	port := published(t, shared, serving(t, shared, "-p", "127.0.0.1::80"), "80")
	if hear(net.JoinHostPort(host, port)) != "closed" || hear("127.0.0.1:"+port) == "closed" {
		t.Error("a port of 127.0.0.1 is not on that address alone")
	}
}

// echoing in the environment makes this program a UDP server: busybox has none.
const echoing = "WHERRY_TEST_ECHO_UDP"

// echoUDP answers each packet on port 53 with its sender's address.
func echoUDP() {
	conn, err := net.ListenPacket("udp", ":53")
	if err != nil {
		fmt.Println(err)
		return
	}
	packet := make([]byte, 100)
	for {
		_, from, err := conn.ReadFrom(packet)
		if err != nil {
			return
		}
		conn.WriteTo([]byte(from.String()), from)
	}
}

// static tells whether this program runs where there are no libraries.
func static(t *testing.T, path string) bool {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return !slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
}

func TestPublishedUDP(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if !static(t, self) {
		t.Skip("the tests were built with cgo (make test builds them without)")
	}
	host, name := hostAddress(t), shared.Name(t)
	shared.Must(t, "run", "-d", "--name", name, "--network", bridged(t, shared, "-n"), "-p", "53/udp",
		"-v", self+":/echo:ro", "-e", echoing+"=1", testkit.Image, "/echo")
	port := published(t, shared, name, "53")
	gateway := attachment(t, shared, name).Networks[0].Gateways[0].String()
	for to, want := range map[string]string{host: host, "127.0.0.1": gateway} {
		conn, err := net.Dial("udp", net.JoinHostPort(to, port))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var seen string
		testkit.Eventually(t, "an answer", func() bool {
			fmt.Fprint(conn, "hello")
			conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			answer := make([]byte, 100)
			n, _ := conn.Read(answer)
			seen, _, _ = net.SplitHostPort(string(answer[:n]))
			return n > 0
		})
		if seen = strings.TrimPrefix(seen, "::ffff:"); seen != want {
			t.Errorf("sent to %s, the container saw %s, want %s", to, seen, want)
		}
	}
}

func TestPublishedPortsEndWithTheContainer(t *testing.T) {
	t.Parallel()
	for how, end := range map[string]func(*testing.T, string){
		"stop": func(t *testing.T, name string) { shared.Must(t, "stop", "-t", "0", name) },
		"rm":   func(t *testing.T, name string) { shared.Must(t, "rm", "-f", "-t", "0", name) },
		"kill": func(t *testing.T, name string) { killContainer(t, shared, hostPid(t, shared, name)) },
		"killed with its monitor": func(t *testing.T, name string) {
			pid := hostPid(t, shared, name)
			killMonitor(t, shared, name)
			killContainer(t, shared, pid)
		},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			name := serving(t, shared, "-p", "80", "-p", "80/udp")
			port := published(t, shared, name, "80")
			if free(port) {
				t.Fatal("nothing listens")
			}
			end(t, name)
			testkit.Eventually(t, "nothing listens any more", func() bool { return free(port) })
		})
	}
}

func TestStartedAgainItPublishesAgain(t *testing.T) {
	t.Parallel()
	const port = "18410"
	name := serving(t, shared, "-p", "127.0.0.1:"+port+":80")
	for range 2 {
		shared.Must(t, "restart", "-t", "0", name)
		testkit.Eventually(t, "it answers again", func() bool { return hear("127.0.0.1:"+port) != "closed" })
	}
}

func TestPortsInUseNameTheirHolder(t *testing.T) {
	t.Parallel()
	name := serving(t, shared, "-p", "80")
	port := published(t, shared, name, "80")
	network := bridged(t, shared, "-m")
	other := shared.Name(t) + "-other"
	t.Cleanup(func() { shared.Try(t, "rm", "-f", other) })
	args := func(publish string) []string {
		return append([]string{"run", "--rm", "--name", other, "--network", network, "-p", publish}, testkit.Image, "true")
	}
	shared.MustFail(t, 125, `port `+port+`/tcp is in use by container "`+name+`"`, args(port+":80")...)
	taken := answer(t, "127.0.0.1")
	shared.MustFail(t, 125, `port `+taken+`/tcp is in use by another program`, args(taken+":80")...)
	shared.MustFail(t, 125, "sctp", args("80/sctp")...)
	if start, _ := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); strings.TrimSpace(string(start)) == "1024" && os.Geteuid() != 0 {
		shared.MustFail(t, 125, "net.ipv4.ip_unprivileged_port_start=80", args("80:80")...)
	}
	if r := shared.Try(t, "container", "exists", other); r.Code == 0 {
		t.Error("the container that could not start is still there")
	}
	want(t, "the holder still answers", strconv.FormatBool(hear("127.0.0.1:"+port) != "closed"), "true")
}

func TestRangesOfPorts(t *testing.T) {
	t.Parallel()
	network := bridged(t, shared, "-n")
	first := on(t, shared, network, "-1", "-p", "127.0.0.1:18400-18402:80-82")
	for i, port := range []string{"80", "81", "82"} {
		want(t, "host port of "+port, published(t, shared, first, port), strconv.Itoa(18400+i))
	}
}

// Many that ask for any free port at once get different ones.
func TestRandomPortsAreDifferent(t *testing.T) {
	t.Parallel()
	network := bridged(t, shared, "-n")
	const many = 8
	var names [many]string
	var group sync.WaitGroup
	for i := range many {
		names[i] = shared.Name(t) + "-" + strconv.Itoa(i)
		t.Cleanup(func() { shared.Try(t, "rm", "-f", "-t", "0", names[i]) })
		group.Go(func() {
			if r := shared.Try(t, "run", "-d", "--name", names[i], "--network", network, "-p", "80", testkit.Image, "sleep", "1000"); r.Code != 0 {
				t.Errorf("%s: %s", names[i], r.Stderr)
			}
		})
	}
	group.Wait()
	seen := map[string]string{}
	for _, name := range names {
		port := published(t, shared, name, "80")
		if other := seen[port]; other != "" {
			t.Errorf("%s and %s both have %s", name, other, port)
		}
		seen[port] = name
	}
}
