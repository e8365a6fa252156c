package system

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// answer listens on an address of the host, tells everybody who connects "hello", and returns the port.
func answer(t *testing.T, address string) string {
	t.Helper()
	l, err := net.Listen("tcp", address+":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(conn, "hello")
			conn.Close()
		}
	}()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// hostAddress is an IPv4 address of this machine that is not on its loopback.
func hostAddress(t *testing.T) string {
	t.Helper()
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	t.Skip("this machine has no address but its loopback's")
	return ""
}

func TestNetworkNone(t *testing.T) {
	t.Parallel()
	want(t, "interfaces", inside(t, "ls /sys/class/net; ip route; ping -c1 -W1 127.0.0.1 >/dev/null && echo up"), "lo\nup")
}

func TestNetworkHost(t *testing.T) {
	t.Parallel()
	mine, _ := os.Readlink("/proc/self/ns/net")
	hostname, _ := os.Hostname()
	got := shared.Must(t, "run", "--rm", "--network", "host", testkit.Image, "sh", "-c", "readlink /proc/self/ns/net; hostname; nc -w 5 127.0.0.1 "+answer(t, "127.0.0.1"))
	want(t, "namespace, name and server", got, mine+"\n"+hostname+"\nhello")
	want(t, "hostname of its own", shared.Must(t, "run", "--rm", "--network", "host", "--hostname", "own", testkit.Image, "hostname"), "own")
}

// A private network has a namespace of its own, reaches a server on the host's own address and beyond, and not the
// host's loopback.
func TestNetworkPrivate(t *testing.T) {
	t.Parallel()
	name, addr := shared.Name(t), hostAddress(t)
	open, closed := answer(t, addr), answer(t, "127.0.0.1")
	shared.Must(t, "run", "-d", "--network", "private", "--name", name, "--hostname", "priv", testkit.Image, "sleep", "1000")
	look := func(script string) string { return shared.Try(t, "exec", name, "sh", "-c", script).Out() }
	mine, _ := os.Readlink("/proc/self/ns/net")
	if look("readlink /proc/self/ns/net") == mine {
		t.Error("the network namespace is the host's")
	}
	want(t, "a server on the host's address", look("timeout 5 nc "+addr+" "+open+" | head -n 1"), "hello") // pasta of 2023 may repeat it
	want(t, "the loopback is its own", look("nc -w 2 127.0.0.1 "+closed), "")
	gateway := look("ip route | awk '/^default/{print $3}'")
	want(t, "the host's loopback through the gateway", look("nc -w 1 "+gateway+" "+closed), "")
	want(t, "files", look("hostname; cat /etc/hostname; grep -c priv /etc/hosts; grep -c nameserver /etc/resolv.conf | tr 1-9 y"), "priv\npriv\n1\ny")
	if strings.Contains(look("cat /etc/resolv.conf"), "nameserver 127.") {
		t.Error("resolv.conf names a loopback that is the container's own")
	}
	want(t, "low ports", look("nc -l -p 80 & sleep 0.1; echo x | nc -w 1 127.0.0.1 80"), "x")
	shared.Must(t, "rm", "-f", name)
}
