package keeper

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/wherry-containers/wherry/network/control"
	"github.com/wherry-containers/wherry/network/nettest"
	"github.com/wherry-containers/wherry/network/nssocket"
	"github.com/wherry-containers/wherry/network/state"
)

func TestMain(m *testing.M) { os.Exit(nettest.Run(m, os.Args, os.Stdout)) }

func id(digit string) string { return strings.Repeat(digit, 64) }

// running is a keeper that runs; end returns what it ended with.
type running struct {
	kill context.CancelFunc
	done chan struct{}
	err  error
	log  *syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func start(t *testing.T, w *nettest.World, linger time.Duration) *running {
	t.Helper()
	file, err := control.Listen(w.Dir)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.FileListener(file)
	file.Close()
	if err != nil {
		t.Fatal(err)
	}
	ctx, kill := context.WithCancel(context.Background())
	r := &running{kill: kill, done: make(chan struct{}), log: &syncBuffer{}}
	go func() {
		r.err = Run(ctx, Config{Dir: w.Dir, Control: l.(*net.UnixListener), Namespace: w.File, Log: r.log, Linger: linger})
		l.Close()
		close(r.done)
	}()
	t.Cleanup(func() {
		kill()
		<-r.done // it uses the world, which ends after this
	})
	return r
}

func (r *running) ended(t *testing.T) {
	t.Helper()
	select {
	case <-r.done:
		if r.err != nil {
			t.Error(r.err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("it does not end")
	}
}

func call(t *testing.T, w *nettest.World, req control.Request) control.Reply {
	t.Helper()
	reply, err := control.Call(t.Context(), w.Dir, req)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

func want(host uint16) control.Want {
	return control.Want{Port: state.Port{HostPort: host, ContainerPort: 80, Protocol: "tcp"}}
}

func scene(t *testing.T) (*nettest.World, *nettest.Container) {
	w := nettest.New(t)
	w.Network(state.Network{Name: "front"}, "10.89.0.1/24")
	return w, w.Container(state.Attachment{ID: id("a"), Name: "web"}, []string{"front", "10.89.0.2/24"})
}

func listens(port uint16) bool {
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	c.Close()
	return true
}

func lookUp(c *nettest.Container, name string) string {
	query := new(dns.Msg)
	query.SetQuestion(dns.Fqdn(name), dns.TypeA)
	conn, err := c.DialUDP(netip.MustParseAddrPort("10.89.0.1:53"), nssocket.Origin{})
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	client := dns.Client{Timeout: 5 * time.Second}
	reply, _, err := client.ExchangeWithConn(query, &dns.Conn{Conn: conn})
	if err != nil {
		return err.Error()
	}
	if len(reply.Answer) == 0 {
		return dns.RcodeToString[reply.Rcode]
	}
	return dns.Field(reply.Answer[0], 1)
}

func TestAskedThingsAreDoneWhenAnswered(t *testing.T) {
	w, web := scene(t)
	start(t, w, 0)
	reply := call(t, w, control.Request{Op: control.Expose, ID: id("a"), Ports: []control.Want{want(8080), want(0), {Port: want(9000).Port, HostPortEnd: 9005}}})
	if len(reply.Ports) != 3 || reply.Ports[0].HostPort != 8080 || reply.Ports[1].HostPort == 0 || reply.Ports[2].HostPort != 9000 {
		t.Fatalf("%+v", reply)
	}
	for _, p := range reply.Ports {
		if !listens(p.HostPort) {
			t.Errorf("%d does not listen", p.HostPort)
		}
	}
	if got := lookUp(web, "web"); got != "10.89.0.2" {
		t.Error(got)
	}
	call(t, w, control.Request{Op: control.Unexpose, ID: id("a")})
	for _, p := range reply.Ports {
		if listens(p.HostPort) {
			t.Errorf("%d still listens", p.HostPort)
		}
	}
	w.Network(state.Network{Name: "late"}, "10.99.0.1/24")
	late := w.Container(state.Attachment{ID: id("c"), Name: "late"}, []string{"late", "10.99.0.2/24"})
	call(t, w, control.Request{Op: control.Reload})
	conn, err := late.DialTCP(netip.MustParseAddrPort("10.99.0.1:53"), nssocket.Origin{}, time.Now().Add(5*time.Second))
	if err != nil {
		t.Fatalf("no names on the new network: %v", err)
	}
	conn.Close()
	_, err = control.Call(t.Context(), w.Dir, control.Request{Op: control.Expose, ID: id("b"), Ports: []control.Want{want(1)}})
	if err == nil || strings.Contains(err.Error(), "\n") {
		t.Error(err)
	}
}

func TestKilledItLosesNothing(t *testing.T) {
	w, web := scene(t)
	first := start(t, w, 0)
	a := *web.Attachment
	a.Ports = call(t, w, control.Request{Op: control.Expose, ID: id("a"), Ports: []control.Want{want(0)}}).Ports
	if err := w.Dir.WriteAttachment(&a); err != nil {
		t.Fatal(err)
	}
	first.kill()
	first.ended(t)
	if _, err := control.Call(t.Context(), w.Dir, control.Request{Op: control.Reload}); err == nil || !strings.Contains(err.Error(), "wherry-net does not run") {
		t.Errorf("asked when it is not there: %v", err)
	}
	start(t, w, 0)
	call(t, w, control.Request{Op: control.Reload}) // answered when it serves
	if !listens(a.Ports[0].HostPort) || lookUp(web, "web") != "10.89.0.2" {
		t.Error("not served again")
	}
}

func TestItEndsWithTheLastContainer(t *testing.T) {
	w, web := scene(t)
	k := start(t, w, 30*time.Millisecond)
	lock, err := os.Create(w.Dir.Lock())
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	call(t, w, control.Request{Op: control.Reload})
	web.Kill()
	time.Sleep(100 * time.Millisecond) // long enough for a wrong end
	call(t, w, control.Request{Op: control.Reload})
	lock.Close() // now nobody is about to bring a container
	k.ended(t)
}

func TestItStaysWithAContainer(t *testing.T) {
	w, _ := scene(t)
	k := start(t, w, 10*time.Millisecond)
	time.Sleep(50 * time.Millisecond)
	call(t, w, control.Request{Op: control.Reload})
	reply := call(t, w, control.Request{Op: control.Quit})
	if !reply.OK {
		t.Errorf("%+v", reply)
	}
	k.ended(t)
}

func TestManyAskAtOnce(t *testing.T) {
	w, _ := scene(t)
	start(t, w, 0)
	var group sync.WaitGroup
	got := make(chan uint16, 100)
	for range 100 {
		group.Go(func() {
			reply, err := control.Call(t.Context(), w.Dir, control.Request{Op: control.Expose, ID: id("a"), Ports: []control.Want{{Port: want(7000).Port, HostPortEnd: 7200}}})
			if err != nil {
				t.Error(err)
				return
			}
			got <- reply.Ports[0].HostPort
		})
	}
	group.Wait()
	if first := <-got; first != 7000 { // the same want of the same container is met once
		t.Error(first)
	}
	if listens(7001) {
		t.Error("asked again, it listens twice")
	}
}

func TestTakenGatewayIsSaid(t *testing.T) {
	w, _ := scene(t)
	taken, err := w.Inside.ListenUDP(netip.MustParseAddrPort("10.89.0.1:53"))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	start(t, w, 0)
	_, err = control.Call(t.Context(), w.Dir, control.Request{Op: control.Reload})
	if err == nil || !strings.Contains(err.Error(), `names of network "front": 10.89.0.1:53 is in use`) {
		t.Error(err)
	}
}

func TestSocketIsTheUsersOwn(t *testing.T) {
	w, _ := scene(t)
	start(t, w, 0)
	info, err := os.Stat(w.Dir.Control())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	if dir, err := os.Stat(filepath.Dir(w.Dir.Control())); err != nil || dir.Mode().Perm() != 0o700 {
		t.Error(dir.Mode(), err)
	}
}
