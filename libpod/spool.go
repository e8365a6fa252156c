package libpod

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// spool reads what is to be copied into a container that does not run before that is locked for the copy: whoever writes
// to the other end of a pipe may take as long as he likes, and others shall start, stop or remove it meanwhile. What is in a
// file already, and what goes to a running container, is read as it is. The caller closes what is returned.
func (e *Engine) spool(ctx context.Context, id string, stream io.Reader) (io.Reader, func(), error) {
	if f, ok := stream.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			return stream, func() {}, nil
		}
	}
	if c, err := e.lookSettled(id); err != nil || c.alive() {
		return stream, func() {}, err
	}
	f, err := namelessFile(e.dirs.Container(id))
	if err != nil {
		return nil, nil, fmt.Errorf("keep standard input: %w", err)
	}
	if _, err = io.Copy(f, contextReader{ctx, stream}); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("keep standard input: %w", err)
	}
	return f, func() { f.Close() }, nil
}

// namelessFile is a file in dir that goes with its descriptor.
func namelessFile(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), filepath.Join(dir, "spool")), nil
	}
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) {
		return nil, err
	}
	f, err := os.CreateTemp(dir, ".spool.") // a kill before the next line leaves it in the container's directory, which goes with that
	if err == nil {
		err = os.Remove(f.Name())
	}
	return f, err
}

// contextReader ends with an error when ctx is done.
type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
