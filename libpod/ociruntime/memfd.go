package ociruntime

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// seals are those that crun looks for in /proc/self/exe: with them nobody, also not the container, can change the
// program, and crun need not copy itself (CVE-2019-5736).
const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

// Memfd returns a sealed, executable copy of the runtime in memory for monitor.RunFD, or nil when executing Path
// is as good: only crun is small enough to copy for each start. The caller closes it.
func (r *Runtime) Memfd() (*os.File, error) {
	if r.Kind != Crun {
		return nil, nil
	}
	src, err := os.Open(r.Path)
	if err != nil {
		return nil, fmt.Errorf("copy OCI runtime: %w", err)
	}
	defer src.Close()
	f, err := newMemfd(r.Path)
	if err != nil {
		return nil, err
	}
	if err := fill(f, src); err != nil {
		f.Close()
		return nil, fmt.Errorf("copy OCI runtime %s: %w", r.Path, err)
	}
	return f, nil
}

func newMemfd(path string) (*os.File, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("wherry-runtime", flags|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3 every memfd was executable
		fd, err = unix.MemfdCreate("wherry-runtime", flags)
	}
	if err != nil {
		return nil, fmt.Errorf("copy OCI runtime %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), "memfd:wherry-runtime"), nil
}

func fill(dst, src *os.File) error {
	fi, err := src.Stat()
	if err != nil {
		return err
	}
	for left := fi.Size(); left > 0; {
		n, err := unix.Sendfile(int(dst.Fd()), int(src.Fd()), nil, int(left))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		case n == 0:
			return io.ErrUnexpectedEOF
		}
		left -= int64(n)
	}
	if err := unix.Fchmod(int(dst.Fd()), 0o500); err != nil {
		return err
	}
	_, err = unix.FcntlInt(dst.Fd(), unix.F_ADD_SEALS, seals)
	return err
}

// memoryFile is a file in memory with data in it. Its name is a path by which a child of ours can open it.
func memoryFile(name string, data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("wherry-"+name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make memory file: %w", err)
	}
	f := os.NewFile(uintptr(fd), fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd))
	if _, err := f.Write(data); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
