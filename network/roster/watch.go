package roster

import (
	"context"
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/network/state"
	"github.com/wherry-containers/wherry/pkg/procs"
)

// watcher holds a pidfd of a process of each container and waits for all of them at once.
type watcher struct {
	poll *os.File // an epoll descriptor, itself waited for by Go's poller

	mu   sync.Mutex
	held map[string]int // container id -> pidfd
	ids  map[int]string
}

func newWatcher() (*watcher, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &watcher{poll: os.NewFile(uintptr(fd), "epoll"), held: map[string]int{}, ids: map[int]string{}}, nil
}

// holds tells whether the container lives, and watches it from then on.
func (w *watcher) holds(a *state.Attachment) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.held[a.ID]; ok {
		return true
	}
	for _, p := range a.Proof() {
		if !p.Alive() {
			continue
		}
		fd, err := procs.PidfdOpen(p.Pid, p.Start)
		if errors.Is(err, procs.ErrGone) {
			continue
		} else if err != nil {
			return true // out of descriptors, say: believe it until the next reading
		}
		raw, err := w.poll.SyscallConn()
		if err == nil {
			err = errors.Join(raw.Control(func(poll uintptr) {
				err = unix.EpollCtl(int(poll), unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
			}), err)
		}
		if err != nil {
			unix.Close(fd)
			return true
		}
		w.held[a.ID], w.ids[fd] = fd, a.ID
		return true
	}
	return false
}

// keep lets go of all containers but those of want.
func (w *watcher) keep(want map[string]*state.Attachment) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id := range w.held {
		if want[id] == nil {
			w.drop(id)
		}
	}
}

func (w *watcher) drop(id string) {
	fd := w.held[id]
	delete(w.held, id)
	delete(w.ids, fd)
	unix.Close(fd) // leaves the epoll set with it
}

// run calls ended after processes have ended, when they are not held any more.
func (w *watcher) run(ctx context.Context, ended func()) error {
	defer context.AfterFunc(ctx, func() { w.poll.Close() })()
	raw, err := w.poll.SyscallConn()
	if err != nil {
		return err
	}
	events := make([]unix.EpollEvent, 16)
	for {
		n := 0
		err := raw.Read(func(poll uintptr) bool {
			n, err = unix.EpollWait(int(poll), events, 0)
			return n > 0
		})
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		w.mu.Lock()
		for _, event := range events[:n] {
			if id, ok := w.ids[int(event.Fd)]; ok {
				w.drop(id)
			}
		}
		w.mu.Unlock()
		ended()
	}
}
