package monitor

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Hold gives a container's monitor a second hold of the master of an exec's terminal. When the connection that it
// returns is closed, by whatever end of this process, the monitor goes on reading the terminal, and throws away what
// comes, so that the command behind it neither gets a hang-up nor waits for ever.
func Hold(socket string, master *os.File) (*os.File, error) {
	conn, err := Dial(socket)
	if err != nil {
		return nil, err
	}
	raw, err := master.SyscallConn()
	if err == nil {
		controlErr := raw.Control(func(fd uintptr) {
			err = unix.Sendmsg(int(conn.Fd()), []byte{MsgHold}, unix.UnixRights(int(fd)), nil, unix.MSG_NOSIGNAL)
		})
		if err == nil {
			err = controlErr
		}
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("give the terminal to the monitor: %w", err)
	}
	return conn, nil
}
