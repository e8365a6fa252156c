package ociruntime

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"strconv"

	"golang.org/x/sys/unix"
)

// execConsole runs cmd, an exec of crun, which sends us the process' terminal: crun itself would give it the size of
// ours once, and never again.
func (r *Runtime) execConsole(ctx context.Context, e Exec, cmd *exec.Cmd, log *os.File) (int, error) {
	dir, err := os.MkdirTemp(e.Dir, "exec-")
	if err != nil {
		return 0, fmt.Errorf("exec in container %s: %w", e.ID, err)
	}
	defer os.RemoveAll(dir)
	listener, path, done, err := listenShort(dir, "console.sock")
	if err != nil {
		return 0, fmt.Errorf("exec in container %s: %w", e.ID, err)
	}
	defer done()
	last := len(cmd.Args) - 1
	cmd.Args = append(cmd.Args[:last:last], "--console-socket", path, cmd.Args[last])
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("execute %s: %w", r.Path, err)
	}
	received := make(chan error, 1)
	go func() {
		err := e.receiveConsole(listener)
		os.RemoveAll(dir) // now: a caller that detaches does not come back here
		received <- err
	}()
	waited := cmd.Wait()
	if !waiting(listener) {
		listener.Close() // crun may have ended without a word
	}
	consoleErr := <-received
	code, err := r.status(ctx, waited, log)
	if err == nil && code == 0 && consoleErr != nil {
		return 0, fmt.Errorf("exec in container %s: terminal: %w", e.ID, consoleErr)
	}
	return code, err
}

// waiting tells whether somebody has connected who was not accepted yet: the command may be over before we come to that, and
// what it has said waits in its terminal.
func waiting(listener *net.UnixListener) bool {
	raw, err := listener.SyscallConn()
	if err != nil {
		return false
	}
	there := false
	raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		there = err == nil && n > 0
	})
	return there
}

// listenShort makes a socket in dir and returns a path of it that is short enough for a socket's address.
func listenShort(dir, name string) (*net.UnixListener, string, func(), error) {
	near, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, "", nil, err
	}
	path := "/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.Itoa(int(near.Fd())) + "/" + name
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		near.Close()
		return nil, "", nil, err
	}
	return listener, path, func() { listener.Close(); near.Close() }, nil
}

// receiveConsole takes the terminal that the runtime sends.
func (e Exec) receiveConsole(listener *net.UnixListener) error {
	conn, err := listener.AcceptUnix()
	if err != nil {
		return err
	}
	defer conn.Close()
	control := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.ReadMsgUnix(make([]byte, 4096), control)
	if err != nil {
		return err
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil {
		return err
	}
	for i := range messages {
		if fds, err := unix.ParseUnixRights(&messages[i]); err == nil && len(fds) > 0 {
			unix.CloseOnExec(fds[0])
			unix.SetNonblock(fds[0], true) // so that closing it ends a read
			e.Console(os.NewFile(uintptr(fds[0]), "terminal"))
			return nil
		}
	}
	return fs.ErrNotExist
}
