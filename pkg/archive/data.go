package archive

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	bufferSize = 1 << 20
	// smallFile is read and written at once: trying anything cleverer costs more than the copy.
	smallFile = 64 << 10
)

var buffers = sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }}

// contents copies files' contents. It remembers that the file systems share no blocks: asking again for each file costs
// time only.
type contents struct{ noClone atomic.Bool }

// Contents copies contents of files, many of them between the same two places. The zero value is ready for use.
type Contents struct{ contents }

// Copy copies the content of in, which stands at its beginning and which st describes, to the empty file out: the blocks
// are shared where the file systems can, holes stay holes.
func (c *Contents) Copy(out, in *os.File, st *unix.Stat_t) error { return c.copyFile(out, in, st) }

// copyFile copies the content of in, as large as its owner says it is, and its holes.
func (c *contents) copyFile(out, in *os.File, st *unix.Stat_t) error {
	if st.Size == 0 {
		return copyData(out, in, false) // or one that does not know its size, as in /proc
	}
	if st.Size <= smallFile {
		return copySmall(out, in, st.Size)
	}
	if !c.noClone.Load() {
		err := unix.IoctlFileClone(int(out.Fd()), int(in.Fd()))
		if err == nil {
			return nil
		}
		c.noClone.Store(true)
	}
	if st.Blocks*512 < st.Size {
		return c.copySparse(out, in, st.Size)
	}
	return copyData(out, in, true)
}

func copySmall(out, in *os.File, size int64) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for {
		n, err := unix.Read(int(in.Fd()), *buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return err
		}
		if _, err := out.Write((*buf)[:n]); err != nil {
			return plain(err)
		}
		if size -= int64(n); size == 0 {
			return nil
		}
	}
}

// copyData copies from where in stands to its end. With direct the kernel moves the data between the files where it
// can: that saves one copy.
func copyData(out, in *os.File, direct bool) error {
	if direct {
		done, err := copyInKernel(out, in)
		if done || err != nil {
			return err
		}
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	_, err := io.CopyBuffer(onlyWriter{out}, onlyReader{in}, *buf)
	return plain(err)
}

// These hide the files' own ways to copy, which use small buffers where the kernel refuses to help.
type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
)

// copyInKernel uses copy_file_range within one file system, else sendfile. It is not done where neither moves a byte:
// some file systems answer 0 to what they cannot do.
func copyInKernel(out, in *os.File) (done bool, err error) {
	from, to := int(in.Fd()), int(out.Fd())
	for _, move := range []func() (int, error){
		func() (int, error) { return unix.CopyFileRange(from, nil, to, nil, 1<<30, 0) },
		func() (int, error) { return unix.Sendfile(to, from, nil, 1<<30) },
	} {
		if moved, err := moveAll(move); moved {
			return true, err
		}
	}
	return false, nil
}

// moveAll calls move until there is nothing left, and tells whether there was anything.
func moveAll(move func() (int, error)) (moved bool, err error) {
	for {
		n, err := move()
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
		case err != nil || n == 0:
			return moved, err
		default:
			moved = true
		}
	}
}

// copySparse copies only what is not a hole.
func (c *contents) copySparse(out, in *os.File, size int64) error {
	if err := unix.Ftruncate(int(out.Fd()), size); err != nil {
		return err
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for at := int64(0); at < size; {
		start, err := unix.Seek(int(in.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil // a hole to the end
		} else if err != nil {
			return err
		}
		end, err := unix.Seek(int(in.Fd()), start, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if at, err = copyRange(out, in, start, min(end, size), *buf); err != nil {
			return err
		}
	}
	return nil
}

func copyRange(out, in *os.File, at, end int64, buf []byte) (int64, error) {
	for at < end {
		n, err := in.ReadAt(buf[:min(int64(len(buf)), end-at)], at)
		if n == 0 {
			if errors.Is(err, io.EOF) {
				err = nil // it became shorter meanwhile
			}
			return end, plain(err)
		}
		if _, err := out.WriteAt(buf[:n], at); err != nil {
			return at, plain(err)
		}
		at += int64(n)
	}
	return at, nil
}

// plain takes the descriptor's name, which nobody knows, from an error.
func plain(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
