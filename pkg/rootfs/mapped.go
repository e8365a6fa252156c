package rootfs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/layout"
)

// Mapped returns one directory that holds the layers' files owned as the container's own user namespace needs them
// (--userns keep-id): the only Lower of such a container. It is a copy, made once per image and mapping; whoever
// comes second waits for it. A copy that was killed is made anew.
func Mapped(ctx context.Context, d layout.Dirs, topLayer string, lower []string, m Mapping) (string, error) {
	if topLayer == "" || filepath.Base(topLayer) != topLayer {
		return "", errdefs.New(errdefs.ErrInvalid, "an image without layers cannot be mapped")
	}
	dir := filepath.Join(mappedDir(d, topLayer), m.key())
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	err := withMapped(ctx, d, topLayer, func() error {
		if _, err := os.Stat(dir); err == nil {
			return nil
		}
		return copyMapped(ctx, dir, lower, m)
	})
	if err != nil {
		return "", fmt.Errorf("map the image's files to the container's ids: %w", err)
	}
	return dir, nil
}

// copyMapped makes the copy beside its place; the rename says that it is complete.
func copyMapped(ctx context.Context, dir string, lower []string, m Mapping) error {
	tmp := dir + ".tmp"
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return err
	}
	faultpoint.Hit("rootfs.mapped.started")
	if err := copyLayers(ctx, tmp, lower, &m); err != nil {
		os.RemoveAll(tmp)
		return err
	}
	if err := syncTree(tmp); err != nil {
		return err
	}
	faultpoint.Hit("rootfs.mapped.copied")
	return os.Rename(tmp, dir)
}

// RemoveMapped removes the mapped copies of an image, by its top layer. No container may use them.
func RemoveMapped(ctx context.Context, d layout.Dirs, topLayer string) error {
	if topLayer == "" || filepath.Base(topLayer) != topLayer {
		return nil
	}
	dir := mappedDir(d, topLayer)
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	trash := filepath.Join(d.Trash(), fmt.Sprintf("mapped-%s-%d", topLayer, time.Now().UnixNano()))
	err := withMapped(ctx, d, topLayer, func() error {
		if err := os.MkdirAll(d.Trash(), 0o700); err != nil {
			return err
		}
		return os.Rename(dir, trash)
	})
	if err != nil {
		return fmt.Errorf("remove mapped layers of %s: %w", topLayer, err)
	}
	return os.RemoveAll(trash)
}

func mappedDir(d layout.Dirs, topLayer string) string {
	return filepath.Join(d.Data, "mapped", topLayer)
}

// withMapped holds the lock of one image's mapped copies: a flock on their directory itself.
func withMapped(ctx context.Context, d layout.Dirs, topLayer string, fn func() error) error {
	dir := mappedDir(d, topLayer)
	for {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		f, err := os.Open(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		current, err := lockCurrent(ctx, f, dir)
		if current && err == nil {
			err = fn()
		}
		f.Close()
		if current || err != nil {
			return err
		}
	}
}

// lockCurrent locks the open directory and tells whether it still is the one at path: RemoveMapped may have taken it
// away while we waited.
func lockCurrent(ctx context.Context, f *os.File, path string) (bool, error) {
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return false, err
		}
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-time.After(wait):
		}
	}
	mine, err := f.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(mine, there), nil
}
