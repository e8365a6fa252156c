package system

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/network/state"
	"github.com/wherry-containers/wherry/pkg/testkit"
)

// bridged makes a network of the test's own, which ends with the test.
func bridged(t *testing.T, s *testkit.Store, suffix string, flags ...string) string {
	t.Helper()
	name := strings.NewReplacer("/", "-", "=", "-").Replace(strings.ToLower(t.Name())) + suffix
	s.Must(t, append(append([]string{"network", "create"}, flags...), name)...)
	t.Cleanup(func() { s.Try(t, "network", "rm", "-f", name) })
	return name
}

// on starts a container that waits on the network, and returns its name.
func on(t *testing.T, s *testkit.Store, network, suffix string, flags ...string) string {
	t.Helper()
	name := s.Name(t) + suffix
	t.Cleanup(func() { s.Try(t, "rm", "-f", "-t", "0", name) })
	upAs(t, s, name, "sleep 1000", append([]string{"--network", network}, flags...)...)
	return name
}

// attachment is what wherry-net reads about a container.
func attachment(t *testing.T, s *testkit.Store, name string) *state.Attachment {
	t.Helper()
	a, err := state.Dir(filepath.Join(s.Run, "net")).Attachment(s.Must(t, "inspect", "--format", "{{.Id}}", name))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func addressOn(t *testing.T, s *testkit.Store, name, network string) string {
	t.Helper()
	end := attachment(t, s, name).On(network)
	if end == nil || len(end.IPs) == 0 {
		t.Fatalf("%s has no address on %s", name, network)
	}
	return end.IPs[0].Addr().String()
}

// lookUp asks in the container for a name and returns the sorted addresses, or the word for why there are none.
func lookUp(t *testing.T, s *testkit.Store, container, name string, server ...string) string {
	t.Helper()
	r := s.Try(t, append([]string{"exec", container, "timeout", "4", "nslookup", "-type=a", name}, server...)...)
	out := r.Stdout + r.Stderr
	_, answer, _ := strings.Cut(out, "\n\n") // the server's own address comes first
	var found []string
	for line := range strings.Lines(answer) {
		if addr, ok := strings.CutPrefix(line, "Address: "); ok {
			found = append(found, strings.TrimSpace(addr))
		}
	}
	slices.Sort(found)
	switch {
	case len(found) > 0:
		return strings.Join(found, " ")
	case strings.Contains(out, "NXDOMAIN"):
		return "NXDOMAIN"
	case strings.Contains(out, "REFUSED"):
		return "REFUSED"
	}
	return "no answer"
}

// netPid is the pid of the store's wherry-net.
func netPid(t *testing.T, s *testkit.Store) int {
	t.Helper()
	var p state.Process
	data, err := os.ReadFile(state.Dir(filepath.Join(s.Run, "net")).NetFile())
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p.Pid
}

func killNet(t *testing.T, s *testkit.Store) {
	t.Helper()
	pid := netPid(t, s)
	s.Must(t, "unshare", "kill", "-9", strconv.Itoa(pid))
	testkit.Eventually(t, "wherry-net is dead", func() bool { return !alive(pid) })
}

func TestNamesOfContainers(t *testing.T) {
	t.Parallel()
	net := bridged(t, shared, "-n")
	web := on(t, shared, net, "-web", "--network-alias", "Site", "--network-alias", "pool")
	api := on(t, shared, net, "-api", "--network-alias", "pool")
	webAt, apiAt := addressOn(t, shared, web, net), addressOn(t, shared, api, net)
	both := []string{webAt, apiAt}
	slices.Sort(both)
	for name, want := range map[string]string{
		web: webAt, strings.ToUpper(web): webAt, attachment(t, shared, web).ID[:12]: webAt, "site": webAt, web + "." + net: webAt,
		"pool": strings.Join(both, " "), api: apiAt,
	} {
		if got := lookUp(t, shared, api, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := shared.Try(t, "exec", api, "nslookup", webAt).Out(); !strings.Contains(got, "name = "+web) {
		t.Errorf("who has %s: %s", webAt, got)
	}
	if r := shared.Try(t, "exec", api, "nc", "-w", "2", web, "9"); strings.Contains(r.Stderr, "bad address") {
		t.Errorf("the C library does not find it: %s", r.Stderr)
	}
}

func TestNamesStayInTheirNetwork(t *testing.T) {
	t.Parallel()
	front, back := bridged(t, shared, "-f"), bridged(t, shared, "-b", "--internal")
	web, db := on(t, shared, front, "-web"), on(t, shared, back, "-db")
	both := on(t, shared, front, "-both", "--network", back)
	if got := lookUp(t, shared, db, web); got != "NXDOMAIN" {
		t.Errorf("another network's name: %s", got)
	}
	gateway := attachment(t, shared, web).Networks[0].Gateways[0].String()
	if got := lookUp(t, shared, db, web, gateway); got == addressOn(t, shared, web, front) {
		t.Errorf("another network's gateway answers: %s", got)
	}
	if got := lookUp(t, shared, both, db); got != addressOn(t, shared, db, back) {
		t.Errorf("the name on the second network: %s", got)
	}
	if got := lookUp(t, shared, both, web); got != addressOn(t, shared, web, front) {
		t.Errorf("the name on the first network: %s", got)
	}
	if got := lookUp(t, shared, db, "example.org"); got != "NXDOMAIN" {
		t.Errorf("an internal network asks the world: %s", got)
	}
}

// A container that ended without anybody being able to say so has no name at once.
func TestNamesOfTheKilledVanish(t *testing.T) {
	t.Parallel()
	net := bridged(t, shared, "-n")
	asker, victim := on(t, shared, net, "-asker"), on(t, shared, net, "-victim")
	want(t, "before", lookUp(t, shared, asker, victim), addressOn(t, shared, victim, net))
	pid := hostPid(t, shared, victim)
	killMonitor(t, shared, victim)
	want(t, "without its monitor", lookUp(t, shared, asker, victim), addressOn(t, shared, victim, net))
	killContainer(t, shared, pid)
	testkit.Eventually(t, "the name is gone", func() bool { return !strings.HasPrefix(lookUp(t, shared, asker, victim), "10.") })
}

func TestNamesFollowRenameAndStop(t *testing.T) {
	t.Parallel()
	net := bridged(t, shared, "-n")
	asker, web := on(t, shared, net, "-asker"), on(t, shared, net, "-web")
	at := addressOn(t, shared, web, net)
	want(t, "before", lookUp(t, shared, asker, web), at)
	shared.Must(t, "stop", "-t", "0", web)
	if got := lookUp(t, shared, asker, web); strings.HasPrefix(got, "10.") {
		t.Errorf("stopped, still named: %s", got)
	}
	shared.Must(t, "start", web)
	want(t, "started again", lookUp(t, shared, asker, web), addressOn(t, shared, web, net))
}

// wherry-net keeps nothing in memory that the next one does not find.
func TestNamesAndPortsSurviveKilledNet(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	net := bridged(t, s, "-n")
	web := on(t, s, net, "-web", "-p", "127.0.0.1::80")
	s.Must(t, "exec", "-d", web, "sh", "-c", "while :; do echo hello | nc -l -p 80; done")
	port := published(t, s, web, "80")
	killNet(t, s)
	asker := on(t, s, net, "-asker")
	want(t, "name", lookUp(t, s, asker, web), addressOn(t, s, web, net))
	testkit.Eventually(t, "the port answers", func() bool { return hear("127.0.0.1:"+port) == "hello" })
}

// Connect and disconnect change what a running container can look up, both ways.
func TestNamesFollowConnectAndDisconnect(t *testing.T) {
	t.Parallel()
	front, back := bridged(t, shared, "-f"), bridged(t, shared, "-b")
	asker, web, db := on(t, shared, front, "-asker"), on(t, shared, front, "-web"), on(t, shared, back, "-db")
	file := func(name string) string { return shared.Must(t, "exec", asker, "cat", name) }
	resolv, hosts := file("/etc/resolv.conf"), file("/etc/hosts")
	if got := lookUp(t, shared, asker, db); strings.HasPrefix(got, "10.") {
		t.Errorf("before: %s is %s", db, got)
	}
	shared.Must(t, "network", "connect", back, asker)
	want(t, "the new network's name", lookUp(t, shared, asker, db), addressOn(t, shared, db, back))
	want(t, "the old network's name", lookUp(t, shared, asker, web), addressOn(t, shared, web, front))
	shared.Must(t, "network", "disconnect", back, asker)
	if got := lookUp(t, shared, asker, db); strings.HasPrefix(got, "10.") {
		t.Errorf("after: %s is %s", db, got)
	}
	want(t, "the first network's name after all", lookUp(t, shared, asker, web), addressOn(t, shared, web, front))
	want(t, "resolv.conf", file("/etc/resolv.conf"), resolv)
	want(t, "hosts", file("/etc/hosts"), hosts)
}
