package logdriver

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

// Rotated files are path.1 (the newest), path.2 and so on, or path.N.gz. A rotation only renames: whoever has a
// file open goes on reading it, and a kill at any point leaves every line in a file that readers look at. When
// both path.N and path.N.gz are there, the compression was cut short after its rename; they hold the same.

// gzSuffix marks a compressed file, gzTemp one that is being made.
const (
	gzSuffix = ".gz"
	gzTemp   = ".gz.tmp"
)

func segment(path string, n int) string {
	if n == 0 {
		return path
	}
	return path + "." + strconv.Itoa(n)
}

func (w *Writer) rotate() error {
	if w.gzip != nil {
		<-w.gzip // one compression at a time
		w.gzip = nil
	}
	// With one file there is nothing to keep: the name is taken away from the full one.
	for n := w.opts.MaxFile - 1; n >= 0; n-- {
		if err := w.shift(n); err != nil {
			return fmt.Errorf("rotate log: %w", err)
		}
	}
	full := w.file
	if err := w.open(); err != nil {
		w.file = full // go on with the one that we have
		return err
	}
	full.Close()
	if w.opts.Compress {
		w.gzip = make(chan error, 1)
		go func(path string, done chan error) {
			done <- compress(path)
			close(done)
		}(segment(w.path, 1), w.gzip)
	}
	return nil
}

// shift moves file n one up, or removes it if it is the last that is kept.
func (w *Writer) shift(n int) error {
	for _, suffix := range []string{"", gzSuffix} {
		from := segment(w.path, n) + suffix
		if n == 0 && suffix != "" {
			continue
		}
		err := error(nil)
		if n+1 >= w.opts.MaxFile {
			err = os.Remove(from)
		} else {
			err = os.Rename(from, segment(w.path, n+1)+suffix)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// compress replaces path by path.gz. The comment in its header names the inode that the lines came from: a
// reader that follows finds its place by it.
func compress(path string) error {
	in, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("compress log: %w", err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return fmt.Errorf("compress log %s: %w", path, err)
	}
	if err := writeGzip(path+gzTemp, in, inode(info), info); err != nil {
		os.Remove(path + gzTemp)
		return fmt.Errorf("compress log %s: %w", path, err)
	}
	if err := os.Rename(path+gzTemp, path+gzSuffix); err != nil {
		return fmt.Errorf("compress log: %w", err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("compress log: %w", err)
	}
	return nil
}

func writeGzip(path string, in io.Reader, ino uint64, info fs.FileInfo) error {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	z, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err != nil {
		return err
	}
	z.Comment = strconv.FormatUint(ino, 10)
	if _, err := io.Copy(z, in); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return os.Chtimes(path, info.ModTime(), info.ModTime())
}

func inode(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Ino)
	}
	return 0
}
