package api

import (
	"os"

	"golang.org/x/sys/unix"
)

// dup is another descriptor of a file.
func dup(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(int(f.Fd()), true); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "copy"), nil
}
