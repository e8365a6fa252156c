package logdriver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// watcher wakes when a file in a directory grows, appears or is renamed.
type watcher struct {
	events *os.File
	buf    []byte
}

func newWatcher(dir string) (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch log: %w", err)
	}
	_, err = unix.InotifyAddWatch(fd, dir, unix.IN_MODIFY|unix.IN_CREATE|unix.IN_MOVED_TO)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("watch log in %s: %w", dir, err)
	}
	return &watcher{events: os.NewFile(uintptr(fd), "inotify"), buf: make([]byte, 16<<10)}, nil
}

func (w *watcher) close() { w.events.Close() }

// wait returns when something has changed since the last call, done is closed or ctx is done.
func (w *watcher) wait(ctx context.Context, done <-chan struct{}) error {
	returned := make(chan struct{})
	var waker sync.WaitGroup
	waker.Go(func() {
		select {
		case <-done:
		case <-ctx.Done():
		case <-returned:
			return
		}
		w.events.SetReadDeadline(time.Unix(1, 0))
	})
	_, err := w.events.Read(w.buf)
	close(returned)
	waker.Wait()
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("watch log: %w", err)
	}
	return nil
}
