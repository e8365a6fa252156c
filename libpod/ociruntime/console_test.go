package ociruntime

import (
	"net"
	"testing"
)

func TestWaiting(t *testing.T) {
	t.Parallel()
	listener, path, done, err := listenShort(t.TempDir(), "s")
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if waiting(listener) {
		t.Error("nobody has connected")
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close() // as a runtime that has ended
	if !waiting(listener) {
		t.Error("somebody has, and is gone")
	}
	if _, err := listener.Accept(); err != nil || waiting(listener) {
		t.Error("it was accepted", err)
	}
}
