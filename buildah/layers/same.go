package layers

import (
	"bytes"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// sameStat compares what a directory's entry in a layer says, but for the time: that changes with what is in it.
func sameStat(a, b *unix.Stat_t) bool {
	return a.Mode == b.Mode && a.Uid == b.Uid && a.Gid == b.Gid && a.Rdev == b.Rdev
}

func sameCapability(a, b *os.File) bool {
	return bytes.Equal(capabilityOf(int(a.Fd())), capabilityOf(int(b.Fd())))
}

func capabilityOf(fd int) []byte {
	buf := make([]byte, 64)
	n, err := unix.Fgetxattr(fd, "security.capability", buf)
	if err != nil {
		return nil
	}
	return buf[:n]
}

// sameFile tells whether a file only came into the upper tree and is as it was, by BuildKit's rules: where the time of
// neither has parts of a second, as after a pull, the content decides.
func sameFile(up, down *os.File, name string, st, below *unix.Stat_t) (bool, error) {
	if st.Dev == below.Dev && st.Ino == below.Ino {
		return true, nil
	}
	if !sameStat(st, below) || st.Size != below.Size || st.Mtim != below.Mtim {
		return false, nil
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		a, errA := readlink(up, name)
		b, errB := readlink(down, name)
		return a == b, errors.Join(errA, errB)
	case unix.S_IFREG:
	default:
		return true, nil
	}
	a, err := openAt(up, name)
	if err != nil {
		return false, err
	}
	defer a.Close()
	b, err := openAt(down, name)
	if err != nil {
		return false, err
	}
	defer b.Close()
	if !sameCapability(a, b) {
		return false, nil
	}
	if st.Mtim.Nsec != 0 || st.Size == 0 {
		return true, nil
	}
	return sameContent(a, b)
}

func openAt(dir *os.File, name string) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

func sameContent(a, b *os.File) (bool, error) {
	one, two := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(a, one)
		m, errB := io.ReadFull(b, two)
		if !bytes.Equal(one[:n], two[:m]) {
			return false, nil
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return errors.Is(errB, io.EOF) || errors.Is(errB, io.ErrUnexpectedEOF), nil
		}
		if err = errors.Join(err, errB); err != nil {
			return false, err
		}
	}
}
