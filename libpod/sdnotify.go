package libpod

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/wherry-containers/wherry/libpod/spec"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// The ways of --sdnotify. Without one, and where no NOTIFY_SOCKET waits, nobody is told anything.
const (
	notifyContainer = "container" // the container says itself when it is ready
	notifyConmon    = "conmon"    // it is when it runs
)

// notifyDir is in the run directory, and the container sees it as /run/notify.
const (
	notifyDir  = "notify"
	notifyName = "notify.sock"
)

// maxNotify bounds one message (sd_notify(3) has no bound of its own).
const maxNotify = 4096

// listenReady makes the socket on which the container says that it is ready. systemd takes messages of the unit's own
// processes only, which a container's are not: this process hands them on.
func (s *startup) listenReady(files *spec.Files) error {
	if s.c.Lifecycle.SdNotify != notifyContainer || os.Getenv("NOTIFY_SOCKET") == "" || s.init { // after init this process does not stay
		return nil
	}
	dir := filepath.Join(s.runDir, notifyDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	os.Remove(filepath.Join(dir, notifyName))
	short := fmt.Sprintf("/proc/self/fd/%d/%s", f.Fd(), notifyName) // the whole path may be too long for a socket's address
	if s.ready, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: short, Net: "unixgram"}); err != nil {
		return fmt.Errorf("--sdnotify container: %w", err)
	}
	files.Notify = dir
	return os.Chmod(filepath.Join(dir, notifyName), 0o666)
}

// tellReady tells systemd that the container is ready. A detached run waits for its word; an attached one has it handed on
// while it stays.
func (s *startup) tellReady(ctx context.Context, attached bool) error {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return nil
	}
	main := os.Getpid()
	if !attached {
		main = s.c.live.Monitor
	}
	switch {
	case s.c.Lifecycle.SdNotify == notifyConmon:
		return notify(socket, "MAINPID="+strconv.Itoa(main)+"\nREADY=1")
	case s.ready == nil:
		return nil
	case attached:
		go s.passReady(ctx, socket, main, false)
		return nil
	}
	return s.passReady(ctx, socket, main, true)
}

// passReady hands on what the container says: all of it, or up to READY=1.
func (s *startup) passReady(ctx context.Context, socket string, main int, onlyReady bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		awaitProcess(ctx, s.c.live.Pid, s.c.live.PidStart) // or the end of ctx
		s.ready.Close()
	}()
	buf := make([]byte, maxNotify)
	for {
		n, err := s.ready.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return errdefs.New(errdefs.ErrState, "container %q ended before it said that it is ready (--sdnotify container)", s.c.name())
		} else if err != nil {
			return err
		}
		lines := slices.DeleteFunc(strings.Split(string(buf[:n]), "\n"), func(line string) bool { return strings.HasPrefix(line, "MAINPID=") })
		ready := slices.Contains(lines, "READY=1")
		if ready {
			lines = append([]string{"MAINPID=" + strconv.Itoa(main)}, lines...)
		}
		if err := notify(socket, strings.Join(lines, "\n")); err != nil || ready && onlyReady {
			return err
		}
	}
}

// notify sends a message to systemd. An address that begins with @ is abstract.
func notify(socket, message string) error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell systemd that the container is ready: %w", err)
	}
	defer conn.Close()
	_, err = conn.Write([]byte(message))
	return err
}
