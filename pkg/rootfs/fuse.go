package rootfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// mountFuse mounts in the caller's mount namespace, and lets fuse-overlayfs serve the mount from the process' own
// one: it only gets the open /dev/fuse. So it does not hold the container's namespace, and ends by itself when the
// kernel drops the mount with it.
func mountFuse(ctx context.Context, s Spec) error {
	program, err := exec.LookPath(Fuse)
	if err != nil {
		return errdefs.New(errdefs.ErrNotFound, "fuse-overlayfs is not installed (install the package fuse-overlayfs)")
	}
	dev, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("use fuse-overlayfs: %w", err)
	}
	defer dev.Close()
	var flags uintptr = unix.MS_NODEV
	if s.ReadOnly {
		flags |= unix.MS_RDONLY
	}
	data := fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d,default_permissions,allow_other",
		dev.Fd(), os.Geteuid(), os.Getegid())
	if err := unix.Mount(Fuse, s.Target, "fuse."+Fuse, flags, data); err != nil {
		return fmt.Errorf("mount fuse-overlayfs on %s: %w", s.Target, err)
	}
	if err := serveFuse(ctx, program, dev, s); err != nil {
		Unmount(s.Target)
		return err
	}
	return nil
}

// serveFuse starts the server, which goes to the background, and waits until it answers. It is started from another
// thread than the caller's, which is in the container's mount namespace.
func serveFuse(ctx context.Context, program string, dev *os.File, s Spec) error {
	opts, err := fuseOptions(s)
	if err != nil {
		return err
	}
	var stderr bytes.Buffer
	started := make(chan error, 1)
	go func() {
		cmd := exec.CommandContext(ctx, program, "-o", opts, "/dev/fd/3")
		cmd.ExtraFiles = []*os.File{dev}
		cmd.Stderr = &stderr
		cmd.Dir = "/"
		started <- cmd.Run()
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("%s: %s: %w", Fuse, lastLine(stderr.String()), err)
	}
	if _, err := os.Stat(s.Target); err != nil {
		return fmt.Errorf("%s serves no files: %w", Fuse, errors.Unwrap(err))
	}
	return nil
}

func fuseOptions(s Spec) (string, error) {
	lower := s.Lower
	if s.ReadOnly {
		lower = s.readOnlyLower()
	}
	escaped := make([]string, len(lower))
	for i, dir := range lower {
		if strings.ContainsAny(dir, ",\\") {
			return "", errdefs.New(errdefs.ErrUnsupported, "fuse-overlayfs cannot use the path %s: it holds a comma or a backslash", dir)
		}
		escaped[i] = strings.ReplaceAll(dir, ":", `\:`)
	}
	opts := "lowerdir=" + strings.Join(escaped, ":")
	if !s.ReadOnly {
		if strings.ContainsAny(s.Upper+s.Work, ",\\") {
			return "", errdefs.New(errdefs.ErrUnsupported, "fuse-overlayfs cannot use the path %s: it holds a comma or a backslash", s.Upper)
		}
		opts += ",upperdir=" + s.Upper + ",workdir=" + s.Work
		if s.Volatile {
			opts += ",volatile"
		}
	}
	return opts, nil
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strconv.QuoteToGraphic(lines[len(lines)-1])
}
