package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	idle       = 10 * time.Second      // a caller may be silent
	maxCallers = 32                    // served at a time; the rest waits in the backlog
	pause      = 20 * time.Millisecond // after an accept that failed
)

// Serve answers requests on l with handle until l is closed. Only processes of our own user are heard.
func Serve(ctx context.Context, l *net.UnixListener, handle func(context.Context, Request) Reply) error {
	free := make(chan struct{}, maxCallers)
	for {
		free <- struct{}{}
		conn, err := l.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil { // out of descriptors, say: some come back
			<-free
			time.Sleep(pause)
			continue
		}
		go func() {
			defer func() { <-free }()
			defer conn.Close()
			if ours(conn) {
				serveConn(ctx, conn, handle)
			}
		}()
	}
}

func serveConn(ctx context.Context, conn net.Conn, handle func(context.Context, Request) Reply) {
	reader := bufio.NewReader(conn)
	for {
		conn.SetDeadline(time.Now().Add(idle))
		line, err := readLine(reader)
		if err != nil && len(line) == 0 {
			return
		}
		var reply Reply
		if req, err := parse(line); err != nil {
			reply.Error = err.Error()
		} else {
			reply = handle(ctx, req)
		}
		conn.SetDeadline(time.Now().Add(idle))
		if json.NewEncoder(conn).Encode(reply) != nil || err != nil {
			return
		}
	}
}

// ours tells whether the peer is our own user. The kernel says the uid as this process's user namespace sees it, and
// users that have no place there are all nobody.
func ours(conn *net.UnixConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	mine := false
	err = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		mine = err == nil && int(cred.Uid) == os.Geteuid()
	})
	return err == nil && mine
}
