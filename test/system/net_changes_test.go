package system

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/network/state"
	"github.com/wherry-containers/wherry/pkg/testkit"
)

// inNamespaces runs a program in the namespaces of the user's networks, by wherry unshare and nsenter.
func inNamespaces(t *testing.T, s *testkit.Store, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("nsenter"); err != nil {
		t.Skip("nsenter is not installed (apt install util-linux)")
	}
	return s.Must(t, append([]string{"unshare", "nsenter", "--net=" + netDir(s).Namespace()}, args...)...)
}

// flag: network reload
func TestRulesComeBackAfterAFlush(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("/usr/sbin/nft"); err != nil {
		t.Skip("nft is not installed (apt install nftables)")
	}
	s := ownStore(t)
	net1 := networkFor(t, s)
	s.Must(t, "network", "create", "other")
	name := server(t, s, "--network", net1)
	s.Must(t, "run", "-d", "--name", "asker", "--network", "other", testkit.Image, "sleep", "1000")
	address := addressOf(t, s, name, net1)
	probe := func() string {
		return s.Try(t, "exec", "asker", "timeout", "1", "nc", "-w", "1", address, "80").Out()
	}
	want(t, "another network", probe(), "")
	inNamespaces(t, s, "/usr/sbin/nft", "flush", "ruleset")
	want(t, "another network without rules", probe(), "hello")
	s.Must(t, "network", "reload")
	want(t, "another network after a reload", probe(), "")
	want(t, "the own network", hears(t, s, net1, address, "80"), "hello")
	if rules := inNamespaces(t, s, "/usr/sbin/nft", "list", "table", "inet", "wherry"); !strings.Contains(rules, "masquerade") {
		t.Errorf("no way out any more:\n%s", rules)
	}
}

// Rules of others in the same namespace are left alone by all that wherry does to its own.
func TestRulesOfOthersStay(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("/usr/sbin/nft"); err != nil {
		t.Skip("nft is not installed (apt install nftables)")
	}
	s := ownStore(t)
	server(t, s)
	inNamespaces(t, s, "/usr/sbin/nft", "add table ip firewalld; add chain ip firewalld theirs { type filter hook input priority 5; }; add rule ip firewalld theirs tcp dport 9 drop")
	before := inNamespaces(t, s, "/usr/sbin/nft", "list", "table", "ip", "firewalld")
	second := networkFor(t, s)
	s.Must(t, "run", "--rm", "--network", second, testkit.Image, "true")
	s.Must(t, "network", "reload")
	s.Must(t, "network", "rm", second)
	want(t, "others' table", inNamespaces(t, s, "/usr/sbin/nft", "list", "table", "ip", "firewalld"), before)
}

// pathWithout makes a directory of links to the programs in PATH but some.
func pathWithout(t *testing.T, programs ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, from := range filepath.SplitList(os.Getenv("PATH")) {
		for _, name := range entries(from) {
			os.Symlink(filepath.Join(from, name), filepath.Join(dir, name)) // the first of a name wins
		}
	}
	for _, name := range programs {
		os.Remove(filepath.Join(dir, name))
	}
	return "PATH=" + dir
}

func TestSlirpIsTheSharedUplinkWithoutPasta(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("slirp4netns"); err != nil {
		t.Skip("slirp4netns is not installed")
	}
	s := ownStore(t).With(pathWithout(t, "pasta", "passt", "pasta.avx2", "passt.avx2"))
	port, closed := answer(t, hostAddress(t)), answer(t, "127.0.0.1")
	want(t, "a server on the host's address", hears(t, s, "bridge", hostAddress(t), port), "hello")
	want(t, "the host's loopback", s.Try(t, "run", "--rm", testkit.Image, "timeout", "1", "nc", "-w", "1", "10.0.2.2", closed).Out(), "")
	name := server(t, s, "-p", "127.0.0.1::80")
	want(t, "a sibling", hears(t, s, "bridge", addressOf(t, s, name, "bridge"), "80"), "hello")
	testkit.Eventually(t, "the published port answers", func() bool { return saidAt(s.Must(t, "port", name, "80")) == "hello" })
	var up state.Process
	if err := state.Read(netDir(s).UplinkFile(), &up); err != nil {
		t.Fatal(err)
	}
	comm, _ := os.ReadFile("/proc/" + strconv.Itoa(up.Pid) + "/comm")
	want(t, "the uplink", strings.TrimSpace(string(comm)), "slirp4netns")
}

// saidAt is what a server on the host says.
func saidAt(address string) string {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Second))
	c.(*net.TCPConn).CloseWrite()
	buf := make([]byte, 64)
	n, _ := c.Read(buf)
	return strings.TrimSpace(string(buf[:n]))
}

// A laptop that sleeps stops everything at once for a while: names, ports and addresses are as before.
func TestAfterAPause(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	net1 := networkFor(t, s)
	name := server(t, s, "--network", net1, "-p", "127.0.0.1::80")
	published, address := s.Must(t, "port", name, "80"), addressOf(t, s, name, net1)
	var helpers []int
	for _, file := range []string{netDir(s).UplinkFile(), netDir(s).NetFile()} {
		var p state.Process
		if err := state.Read(file, &p); err != nil {
			t.Fatal(err)
		}
		helpers = append(helpers, p.Pid)
	}
	for _, pid := range append(helpers, s.Monitors()...) {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		defer syscall.Kill(pid, syscall.SIGCONT)
	}
	for _, pid := range helpers {
		testkit.Eventually(t, "a helper is stopped", func() bool {
			stat, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
			return strings.Contains(string(stat), ") T ")
		})
	}
	if said := saidAt(published); said == "hello" {
		t.Errorf("the port answered while its server was stopped")
	}
	for _, pid := range append(helpers, s.Monitors()...) {
		syscall.Kill(pid, syscall.SIGCONT)
	}
	testkit.Eventually(t, "the port answers again", func() bool { return saidAt(published) == "hello" })
	want(t, "by name", hears(t, s, net1, name, "80"), "hello")
	want(t, "address", addressOf(t, s, name, net1), address)
}
