package monitor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ErrMonitorGone says that the connection ended without an exit code: the monitor was killed, or has no room for
// another client. The container may still run; the kernel knows.
var ErrMonitorGone = errors.New("the container's monitor is gone")

// ErrOutput says that the container has ended, but that a stream did not take all of its output.
var ErrOutput = errors.New("the container's output could not be written")

// Streams are a client's side of a container.
type Streams struct {
	Stdin      io.Reader // nil: none is sent
	Stdout     io.Writer // nil: dropped
	Stderr     io.Writer // nil: dropped
	Terminal   bool      // the container has a terminal: Stdin's, if it is one, is put in raw mode, and the size follows
	DetachKeys string    // empty: the default; looked for only with Terminal
	EndsInput  bool      // with Terminal: the end of a Stdin that is no terminal is passed on, as typing Ctrl-D does
}

// maxSocketPath is what fits in a unix socket's address.
const maxSocketPath = 107

// Dial connects to the attach socket of a monitor. The caller closes the connection.
func Dial(path string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", path, err)
	}
	address := path
	if len(path) > maxSocketPath {
		dir, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			unix.Close(fd)
			return nil, fmt.Errorf("connect to %s: %w", path, err)
		}
		defer unix.Close(dir)
		address = "/proc/self/fd/" + strconv.Itoa(dir) + "/" + filepath.Base(path)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: address}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("connect to %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Attach copies between streams and a container until it ends, and returns its exit code; or until the detach
// keys are typed. The error is ErrMonitorGone if the connection ends before. conn stays the caller's; it is made
// non-blocking.
func Attach(ctx context.Context, conn *os.File, streams Streams) (exit int, detached bool, err error) {
	c, err := newConnection(conn)
	if err != nil {
		return 0, false, err
	}
	defer c.Close()
	if streams.Stdout == nil && streams.Stderr == nil {
		c.Write([]byte{MsgQuiet}) // a monitor that is gone is found out by receive
	}
	keys, err := ParseDetachKeys(streams.DetachKeys)
	if err != nil {
		return 0, false, err
	}
	if !streams.Terminal {
		keys = nil
	}
	if streams.Terminal {
		restore, err := followTerminal(c, streams)
		if err != nil {
			return 0, false, err
		}
		defer restore()
	}
	ended := make(chan struct{})
	defer close(ended)
	left := make(chan struct{})
	if stdin := present(streams.Stdin); stdin != nil {
		go sendInput(c, stdin, keys, streams, left)
	}
	go func() {
		select {
		case <-ctx.Done():
		case <-left:
		case <-ended:
			return
		}
		c.SetReadDeadline(time.Unix(1, 0)) // wakes receive
	}()
	exit, err = receive(c, streams)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return exit, false, err
	}
	select {
	case <-left:
		return 0, true, nil
	default:
		return 0, false, ctx.Err()
	}
}

// newConnection is a duplicate of conn that Go's poller serves.
func newConnection(conn *os.File) (*os.File, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("attach: %w", err)
	}
	fd := -1
	controlErr := raw.Control(func(old uintptr) {
		fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
		if err == nil {
			err = unix.SetNonblock(fd, true)
		}
	})
	if err = errors.Join(controlErr, err); err != nil {
		return nil, fmt.Errorf("attach: %w", err)
	}
	return os.NewFile(uintptr(fd), "attach"), nil
}

// present is nil also for a nil *os.File.
func present(r io.Reader) io.Reader {
	if f, ok := r.(*os.File); ok && f == nil {
		return nil
	}
	return r
}

// receive writes the output to the streams. A stream that takes no more is left alone: the container goes on, and what
// was wrong is told with its exit code. That nobody reads any more is nothing wrong.
func receive(c *os.File, streams Streams) (int, error) {
	buf := make([]byte, MaxData+1)
	var failed error
	sinks := [...]io.Writer{MsgStdout: streams.Stdout, MsgStderr: streams.Stderr, MsgExit: nil}
	for {
		n, err := c.Read(buf)
		if errors.Is(err, unix.ECONNRESET) {
			// The monitor ended before it read all that was typed. What it said before still waits here.
			n, err = c.Read(buf)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, err
		}
		if n == 0 || err != nil {
			return 0, ErrMonitorGone
		}
		kind, data := buf[0], buf[1:n]
		if kind == MsgExit && len(data) == 4 {
			return int(int32(binary.LittleEndian.Uint32(data))), failed
		}
		if int(kind) >= len(sinks) || sinks[kind] == nil {
			continue
		}
		if _, err := sinks[kind].Write(data); err != nil {
			sinks[kind] = nil
			if !errors.Is(err, unix.EPIPE) {
				failed = fmt.Errorf("%w: %w", ErrOutput, err)
			}
		}
	}
}

// sendInput passes stdin on until its end, and closes left when the detach keys come.
func sendInput(c *os.File, stdin io.Reader, keys []byte, streams Streams, left chan<- struct{}) {
	keyed := &detacher{sequence: keys}
	var last byte
	buf := make([]byte, MaxData)
	for {
		n, err := stdin.Read(buf)
		pass, detached := keyed.take(buf[:n])
		if len(pass) > 0 && sendMessage(c, MsgStdin, pass) != nil {
			return
		}
		if detached {
			close(left)
			return
		}
		last = lastByte(pass, last)
		if err != nil {
			if end := endOfInput(streams, err, last); end != nil {
				sendMessage(c, MsgStdin, end)
			}
			sendMessage(c, MsgStdinClose, nil)
			return
		}
	}
}

// sendMessage sends data, which may be a little more than MaxData: the keys that were held back come with it.
func sendMessage(c *os.File, kind byte, data []byte) error {
	for {
		n := min(len(data), MaxData)
		if _, err := c.Write(append([]byte{kind}, data[:n]...)); err != nil {
			return err
		}
		if data = data[n:]; len(data) == 0 {
			return nil
		}
	}
}

// Quiet tells the monitor that this connection wants no output.
func Quiet(conn *os.File) error {
	_, err := conn.Write([]byte{MsgQuiet})
	return err
}

// Resize tells the monitor the size of the client's terminal.
func Resize(conn *os.File, rows, columns uint16) error {
	data := binary.LittleEndian.AppendUint16(nil, rows)
	return sendMessage(conn, MsgResize, binary.LittleEndian.AppendUint16(data, columns))
}
