package control

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/network/state"
)

func TestParse(t *testing.T) {
	id := strings.Repeat("a", 64)
	for line, wrong := range map[string]string{
		`{"Op":"reload"}`:                          "",
		`{"Op":"quit","Later":"field"}`:            "",
		`{"Op":"expose","ID":"` + id + `"}`:        "",
		`{"Op":"expose","ID":"` + id + `0"}`:       "names no container",
		`{"Op":"expose","ID":"../../etc"}`:         "names no container",
		`{"Op":"unexpose"}`:                        "names no container",
		`{"Op":"` + strings.Repeat("x", 100):       "not JSON",
		`{"Op":"` + strings.Repeat("x", 90) + `"}`: "unknown operation",
		`[]`: "not JSON",
		``:   "not JSON",
		`{"Op":"expose","ID":"a","Ports":[{"HostPort":99999}]}`:                                "not JSON",
		`{"Op":"expose","ID":"a","Ports":[{"HostPort":80}]}`:                                   "container port 0",
		`{"Op":"expose","ID":"a","Ports":[{"HostPort":80,"ContainerPort":1,"HostPortEnd":9}]}`: "ends before it begins",
	} {
		_, err := parse([]byte(line))
		if (err == nil) != (wrong == "") || err != nil && !strings.Contains(err.Error(), wrong) {
			t.Errorf("%.60s: %v, want %q", line, err, wrong)
		}
		if err != nil && len(err.Error()) > 120 {
			t.Errorf("%.60s: an answer of %d bytes", line, len(err.Error()))
		}
	}
	many := `{"Op":"expose","ID":"a","Ports":[` + strings.TrimSuffix(strings.Repeat(`{"ContainerPort":1},`, maxPorts+1), ",") + `]}`
	if _, err := parse([]byte(many)); err == nil {
		t.Error("too many ports are taken")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"Op":"expose","ID":"0123","Ports":[{"HostIP":"::1","HostPort":80,"ContainerPort":80,"Protocol":"tcp","HostPortEnd":90}]}`))
	f.Add([]byte(`{"Op":"reload"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		req, err := parse(line)
		if err != nil {
			return
		}
		if len(req.Ports) > maxPorts || strings.ContainsAny(req.ID, "/.") {
			t.Errorf("%+v", req)
		}
	})
}

func serveForTest(t *testing.T, handle func(context.Context, Request) Reply) state.Dir {
	dir := state.Dir(t.TempDir())
	file, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.FileListener(file)
	file.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go Serve(t.Context(), l.(*net.UnixListener), handle)
	return dir
}

func TestCall(t *testing.T) {
	dir := serveForTest(t, func(_ context.Context, req Request) Reply {
		if req.Op == Reload {
			return Reply{Error: "no"}
		}
		return Reply{OK: true, Ports: []state.Port{req.Ports[0].Port}}
	})
	reply, err := Call(t.Context(), dir, Request{Op: Expose, ID: "abc", Ports: []Want{{Port: state.Port{HostPort: 1, ContainerPort: 2, Protocol: "tcp"}}}})
	if err != nil || !reply.OK || reply.Ports[0].ContainerPort != 2 {
		t.Errorf("%+v, %v", reply, err)
	}
	if _, err := Call(t.Context(), dir, Request{Op: Reload}); err == nil || err.Error() != "no" {
		t.Error(err)
	}
	if _, err := Call(t.Context(), state.Dir(t.TempDir()), Request{Op: Reload}); err == nil || !strings.Contains(err.Error(), "does not run") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Call(ctx, dir, Request{Op: Reload}); err == nil {
		t.Error("a cancelled call succeeds")
	}
}

func TestCallEndsWhenNobodyAnswers(t *testing.T) {
	dir := state.Dir(t.TempDir())
	file, err := Listen(dir) // it is being started, and dies of it
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := Call(ctx, dir, Request{Op: Reload}); err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Error(err)
	}
}

func TestServeKeepsWhatCallersSendInBounds(t *testing.T) {
	dir := serveForTest(t, func(context.Context, Request) Reply { return Reply{OK: true} })
	conn, err := net.Dial("unix", dir.Control())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answers := bufio.NewScanner(conn)
	for range 3 { // several requests on one connection
		fmt.Fprintln(conn, `{"Op":"reload"}`)
		if !answers.Scan() || answers.Text() != `{"OK":true}` {
			t.Fatal(answers.Text())
		}
	}
	long := strings.Repeat("x", 64<<10)
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	for range 2 * maxLine / len(long) {
		if _, err = fmt.Fprint(conn, long); err != nil {
			break
		}
	}
	if err == nil {
		if answers.Scan() {
			t.Errorf("an endless line is answered: %s", answers.Text())
		}
	}
	// Callers that say nothing do not keep others from being heard.
	for range maxCallers - 1 {
		silent, err := net.Dial("unix", filepath.Clean(dir.Control()))
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
	}
	if _, err := Call(t.Context(), dir, Request{Op: Reload}); err != nil {
		t.Error(err)
	}
}
