package server

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxSocketPath is what fits in a unix socket's address.
const maxSocketPath = 107

// bindSocket makes a listening unix socket that only its owner can connect to. The path may be of any length.
func bindSocket(path string, kind int) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("make socket %s: %w", path, err)
	}
	if err := bindAt(fd, path); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("make socket %s: %w", path, err)
	}
	return fd, nil
}

func bindAt(fd int, path string) error {
	address := path
	if len(path) > maxSocketPath {
		dir, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(dir)
		address = "/proc/self/fd/" + strconv.Itoa(dir) + "/" + filepath.Base(path)
	}
	os.Remove(path) // of a monitor that was killed
	umask := unix.Umask(0o177)
	err := unix.Bind(fd, &unix.SockaddrUnix{Name: address})
	unix.Umask(umask)
	if err != nil {
		return err
	}
	return unix.Listen(fd, 16)
}

// shortPath is a path of the same socket that another program can connect to, also where path itself is longer than a
// socket's address may be (runc does not help itself as crun does).
func shortPath(path string) (short string, done func(), err error) {
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	dir, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, fmt.Errorf("make socket %s: %w", path, err)
	}
	short = fmt.Sprintf("/proc/%d/fd/%d/%s", os.Getpid(), dir, filepath.Base(path))
	return short, func() { unix.Close(dir) }, nil
}

// replaced is args with new in the place of old.
func replaced(args []string, old, new string) []string {
	args = slices.Clone(args)
	for i := range args {
		if args[i] == old {
			args[i] = new
		}
	}
	return args
}

// receiveTerminal takes the pseudo-terminal that the runtime has sent to the console socket before it ended.
func receiveTerminal(listener int) (int, error) {
	conn, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("receive terminal: the runtime sent none: %w", err)
	}
	defer unix.Close(conn)
	data, control := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(conn, data, control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("receive terminal: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		return -1, fmt.Errorf("receive terminal: no descriptor in the message")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return -1, fmt.Errorf("receive terminal: no descriptor in the message")
	}
	return fds[0], unix.SetNonblock(fds[0], true)
}
