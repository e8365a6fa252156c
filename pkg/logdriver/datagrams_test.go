package logdriver

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// datagrams is a daemon's socket; restart makes it anew.
func datagrams(t *testing.T) (path string, read func() string, restart func()) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "s")
	var conn *net.UnixConn
	restart = func() {
		if conn != nil {
			conn.Close()
		}
		os.Remove(path)
		var err error
		if conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"}); err != nil {
			t.Fatal(err)
		}
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	}
	restart()
	t.Cleanup(func() { conn.Close() })
	read = func() string {
		buf := make([]byte, 1<<16)
		n, err := conn.Read(buf)
		if err != nil {
			t.Error(err)
		}
		return string(buf[:n])
	}
	return path, read, restart
}
