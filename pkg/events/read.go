package events

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Query says which events are read.
type Query struct {
	Past   bool // those that are there already
	Follow bool // those that come, until ctx is done
}

// Read calls take with each event of the file until it returns an error, the end, or ctx is done. It waits for more by
// inotify, without looking again and again.
func (l Log) Read(ctx context.Context, q Query, take func(Event) error) error {
	r := &reader{dir: l.Dir, take: take}
	defer r.close()
	var w *os.File
	if q.Follow {
		var err error
		if w, err = l.watch(); err != nil {
			return err
		}
		defer w.Close()
		stop := context.AfterFunc(ctx, func() { w.SetReadDeadline(time.Unix(1, 0)) })
		defer stop()
	}
	r.open()
	if !q.Past {
		r.skip()
	}
	buf := make([]byte, 4096)
	for {
		if err := r.drain(); err != nil || !q.Follow {
			return err
		}
		if _, err := w.Read(buf); err != nil {
			if ctx.Err() != nil {
				return r.drain()
			}
			return fmt.Errorf("watch events: %w", err)
		}
		r.open()
	}
}

func (l Log) watch() (*os.File, error) {
	if err := os.MkdirAll(l.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("watch events: %w", err)
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch events: %w", err)
	}
	w := os.NewFile(uintptr(fd), "inotify")
	if _, err := unix.InotifyAddWatch(fd, l.Dir, unix.IN_MODIFY|unix.IN_CREATE|unix.IN_MOVED_TO); err != nil {
		w.Close()
		return nil, fmt.Errorf("watch events in %s: %w", l.Dir, err)
	}
	return w, nil
}

// reader holds the files of the log open, oldest first: one that was renamed or removed is read to its end all the same.
type reader struct {
	dir   string
	files []*tail
	take  func(Event) error
}

type tail struct {
	file *os.File
	info os.FileInfo
	part []byte // the beginning of a line whose end is not there yet
}

func (r *reader) close() {
	for _, t := range r.files {
		t.file.Close()
	}
}

// open adds the files that are not open yet.
func (r *reader) open() {
	for n := oldFiles; n >= 0; n-- {
		f, err := os.Open(filepath.Join(r.dir, segment(n)))
		if err != nil {
			continue
		}
		info, err := f.Stat()
		if err != nil || r.has(info) {
			f.Close()
			continue
		}
		r.files = append(r.files, &tail{file: f, info: info})
	}
	for len(r.files) > 2*(oldFiles+1) { // long gone: nobody writes to it any more
		r.files[0].file.Close()
		r.files = r.files[1:]
	}
}

func (r *reader) has(info os.FileInfo) bool {
	for _, t := range r.files {
		if os.SameFile(t.info, info) {
			return true
		}
	}
	return false
}

// skip leaves out what is there.
func (r *reader) skip() {
	for _, t := range r.files {
		t.file.Seek(0, io.SeekEnd)
	}
}

// drain takes what is in the files.
func (r *reader) drain() error {
	for _, t := range r.files {
		if err := t.drain(r.take); err != nil {
			return err
		}
	}
	return nil
}

func (t *tail) drain(take func(Event) error) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := t.file.Read(buf)
		t.part = append(t.part, buf[:n]...)
		for {
			text, rest, found := bytes.Cut(t.part, []byte{'\n'})
			if !found {
				break
			}
			if e, err := decodeTorn(text); err == nil {
				if err := take(e); err != nil {
					return err
				}
			}
			t.part = rest
		}
		t.part = bytes.Clone(t.part)
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
	}
}

// decodeTorn is Decode that finds a whole event behind half of another one, which a full disk has left.
func decodeTorn(text []byte) (Event, error) {
	e, err := Decode(text)
	if err == nil {
		return e, nil
	}
	if at := bytes.LastIndex(text, []byte(lineStart)); at > 0 {
		return Decode(text[at:])
	}
	return e, err
}
