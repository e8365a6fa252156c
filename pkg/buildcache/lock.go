package buildcache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/layout"
)

// Locked runs f while no other process, and nobody else in this one, does the same under the name. The kernel ends the
// lock of a killed holder.
func Locked(ctx context.Context, d layout.Dirs, name string, f func() error) error {
	dir := locksDir(d)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the build cache: %w", err)
	}
	lock, err := lockFile(ctx, filepath.Join(dir, name))
	if err != nil {
		return fmt.Errorf("lock a step of the build: %w", err)
	}
	// Its file goes before it is given up: who waits for it sees that, and makes a new one.
	defer lock.Close()
	defer os.Remove(lock.Name())
	return f()
}

// lockFile makes and locks a file that its holder removes.
func lockFile(ctx context.Context, path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if err := Flock(ctx, f, unix.LOCK_EX); err != nil {
			return nil, err
		}
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if st.Nlink > 0 {
			return f, nil
		}
		f.Close() // its last holder has removed it
	}
}

// Flock waits for the lock until the context ends. A wait in the kernel cannot be broken off, so it is done aside; should
// the context end first, the lock is given back as soon as it comes: f is closed here on an error, and only here.
func Flock(ctx context.Context, f *os.File, how int) error {
	err := TryFlock(f, how|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		got := make(chan error, 1)
		go func() { got <- TryFlock(f, how) }()
		select {
		case err = <-got:
		case <-ctx.Done():
			go func() {
				<-got
				f.Close()
			}()
			return context.Cause(ctx)
		}
	}
	if err != nil {
		f.Close()
	}
	return err
}

// TryFlock is flock(2).
func TryFlock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
