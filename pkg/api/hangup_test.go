package api

import (
	"net"
	"path/filepath"
	"testing"
	"time"
)

// TestHangup: a client that closes its half is still there; one that closes all is gone.
func TestHangup(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	theirs, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ours, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	gone := make(chan struct{})
	newClient("").watch(ours, func() { close(gone) })
	theirs.(*net.UnixConn).CloseWrite()
	select {
	case <-gone:
		t.Fatal("half closed is taken for gone")
	case <-time.After(50 * time.Millisecond):
	}
	theirs.Close()
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Fatal("nobody noticed that the client is gone")
	}
	a, b := net.Pipe()
	gone = make(chan struct{})
	newClient("").watch(a, func() { close(gone) })
	b.Close()
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Fatal("nobody noticed the end of a pipe")
	}
}
