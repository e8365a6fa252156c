package logdriver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Query says which lines of a log are wanted, and how.
type Query struct {
	Since, Until time.Time // zero: no bound
	Tail         int       // the last so many lines; negative: all
	Follow       bool      // go on until the container is gone
	Details      bool      // the attributes before each line
	Timestamps   bool      // the time before each line
}

// Sink takes the lines of the two streams; nil drops them.
type Sink struct {
	Stdout, Stderr io.Writer
}

// timestampFormat is that of Docker's --timestamps: nanoseconds always in full, so that columns align.
const timestampFormat = "2006-01-02T15:04:05.000000000Z07:00"

// Read writes the log at path to sink, across rotated and compressed files. A log that does not exist is empty.
// With q.Follow it goes on until done is closed, and then still delivers all that was written before. Lines that
// cannot be read (half of one after a crash, say) are left out.
func Read(ctx context.Context, path string, q Query, done <-chan struct{}, sink Sink) error {
	dir, err := os.OpenRoot(filepath.Dir(path)) // stays the same directory when the container is removed
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	defer dir.Close()
	r := &reader{ctx: ctx, dir: dir, name: filepath.Base(path), query: q, sinks: [streams]io.Writer{sink.Stdout, sink.Stderr}}
	defer r.close()
	var w *watcher
	if q.Follow {
		if w, err = newWatcher(filepath.Dir(path)); err != nil {
			return err
		}
		defer w.close()
	}
	if err := r.begin(); err != nil {
		return err
	}
	if q.Follow {
		return r.follow(w, done)
	}
	return r.readAll()
}

// reader is one Read under way.
type reader struct {
	ctx    context.Context // of the one call that the reader serves
	dir    *os.Root
	name   string
	query  Query
	sinks  [streams]io.Writer
	queue  []*segmentFile // still to be read, oldest first; the last one may grow
	entry  entry
	out    []byte        // text that waits to be written
	stream Stream        // of out
	mid    [streams]bool // within a line that comes in parts
}

func (r *reader) close() { closeSegments(r.queue) }

// begin opens the log and goes to where the wanted lines start.
func (r *reader) begin() error {
	var err error
	if r.queue, err = openSegments(r.dir, r.name); err != nil || r.query.Tail < 0 {
		return err
	}
	want := r.query.Tail
	for i := len(r.queue) - 1; i >= 0; i-- {
		if want == 0 && i < len(r.queue)-1 {
			closeSegments(r.queue[:i+1])
			r.queue = r.queue[i+1:]
			return nil
		}
		got, err := r.queue[i].keepLast(want)
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
		want -= got
	}
	return nil
}

// readAll reads what is there.
func (r *reader) readAll() error {
	for _, s := range r.queue {
		if err := r.drain(s); err != nil {
			return err
		}
		if err := r.finish(s); err != nil {
			return err
		}
	}
	return nil
}

// drain delivers the lines of a segment up to its present end.
func (r *reader) drain(s *segmentFile) error {
	for {
		line, err := s.next()
		if err != nil {
			if flushErr := r.flush(); flushErr != nil || err == io.EOF || s.packed { // a damaged copy ends where it is damaged
				return flushErr
			}
			return fmt.Errorf("read log: %w", err)
		}
		if s.skip > 0 {
			if complete(line) {
				s.skip--
			}
			continue
		}
		if err := r.deliver(line[:len(line)-1]); err != nil {
			return err
		}
	}
}

// finish delivers the last line of a segment that does not grow any more, if only its newline is missing.
func (r *reader) finish(s *segmentFile) error {
	if len(s.part) == 0 {
		return nil
	}
	if err := r.deliver(s.part); err != nil {
		return err
	}
	return r.flush()
}

func (r *reader) deliver(line []byte) error {
	if r.entry.decode(line) != nil {
		return nil
	}
	return r.show(&r.entry)
}

// show writes an entry's text the way the query asks for.
func (r *reader) show(e *entry) error {
	if len(e.text) == 0 || !r.wanted(e) {
		return nil
	}
	if r.sinks[e.stream] == nil {
		return nil
	}
	if r.stream != e.stream || len(r.out) >= 64<<10 { // the order between the streams holds
		if err := r.flush(); err != nil {
			return err
		}
		r.stream = e.stream
	}
	if !r.mid[e.stream] && r.query.Timestamps {
		r.out = append(e.when().AppendFormat(r.out, timestampFormat), ' ')
	}
	if !r.mid[e.stream] && r.query.Details {
		r.out = append(append(r.out, e.details()...), ' ')
	}
	r.out = append(r.out, e.text...)
	r.mid[e.stream] = e.text[len(e.text)-1] != '\n'
	return nil
}

func (r *reader) wanted(e *entry) bool {
	if r.query.Since.IsZero() && r.query.Until.IsZero() {
		return true
	}
	at := e.when()
	return !at.Before(r.query.Since) && (r.query.Until.IsZero() || !at.After(r.query.Until))
}

func (r *reader) flush() error {
	if len(r.out) == 0 {
		return r.ctx.Err()
	}
	_, err := r.sinks[r.stream].Write(r.out)
	r.out = r.out[:0]
	if err != nil {
		return fmt.Errorf("write log lines: %w", err)
	}
	return r.ctx.Err()
}

// follow reads on while the log grows.
func (r *reader) follow(w *watcher, done <-chan struct{}) error {
	ctx := r.ctx
	if !r.query.Until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, r.query.Until)
		defer cancel()
	}
	for {
		last := closed(done) || ctx.Err() != nil // looked at before reading: what was written by then is delivered
		if err := r.readOn(); err != nil {
			return err
		}
		if last {
			return errors.Join(r.finishLast(), r.ctx.Err())
		}
		if err := w.wait(ctx, done); err != nil {
			return err
		}
	}
}

func (r *reader) finishLast() error {
	if len(r.queue) == 0 {
		return nil
	}
	return r.finish(r.queue[len(r.queue)-1])
}

func closed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// readOn reads to the present end of the log, across rotations.
func (r *reader) readOn() error {
	for {
		for len(r.queue) > 1 {
			if err := errors.Join(r.drain(r.queue[0]), r.finish(r.queue[0])); err != nil {
				return err
			}
			r.queue[0].file.Close()
			r.queue = r.queue[1:]
		}
		if len(r.queue) == 1 {
			if err := r.drain(r.queue[0]); err != nil {
				return err
			}
			if r.current() {
				return nil
			}
		}
		more, err := r.newer()
		if err != nil || !more {
			return err
		}
	}
}

// current says whether what we read last is still the file that grows.
func (r *reader) current() bool {
	now, err := r.dir.Stat(r.name)
	if err != nil {
		return true // between two files, or the log is removed
	}
	then, err := r.queue[0].file.Stat()
	return err == nil && os.SameFile(now, then)
}

// newer puts the segments that came after the one in the queue behind it. If that one is not there any more,
// all that is there came after it.
func (r *reader) newer() (bool, error) {
	list, err := openSegments(r.dir, r.name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	from := 0
	for i, s := range list {
		if len(r.queue) == 1 && s.same(r.queue[0]) {
			from = i + 1
		}
	}
	closeSegments(list[:from])
	r.queue = append(r.queue, list[from:]...)
	return len(list) > from, nil
}
