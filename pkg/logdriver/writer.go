package logdriver

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/wherry-containers/wherry/pkg/faultpoint"
)

// flushAt bounds the encoded bytes that one write holds.
const flushAt = 256 << 10

// Log takes a container's output. It has one caller at a time.
type Log interface {
	// Write logs p, which the container wrote to s at about now. In mode non-blocking it only queues. An error says
	// that lines were lost (no space, say); later ones are tried again.
	Write(s Stream, p []byte, now time.Time) error
	// End logs what a stream that has ended left without a newline.
	End(s Stream, now time.Time) error
	// Held returns what must be given to Open when another process goes on with the log, or nil. The Log must not
	// be Busy.
	Held() *Held
	// Busy says whether work goes on behind the caller's back: lines that wait, or a compression.
	Busy() bool
	// Close writes what waits, and ends the log.
	Close() error
}

// Held is the text of lines that are not complete yet.
type Held struct {
	Stdout, Stderr []byte
}

// Target says where a container's output goes.
type Target struct {
	Driver string
	Path   string // of the file drivers' log
	Opts   map[string]string
	Attrs  map[string]string // go with each line, where the driver keeps such
	Tag    string            // names the container in a log that many write to
	Fields map[string]string // of each journal entry: what the container is
}

// Open opens the log of a container, nil if the driver keeps none. held is what Held returned when another process
// wrote the log before, or nil.
func Open(t Target, held *Held) (Log, error) {
	opts, err := Parse(t.Driver, t.Opts)
	if err != nil {
		return nil, err
	}
	switch t.Driver {
	case JSONFile, Local, "":
		attrs := t.Attrs
		if t.Tag != "" {
			attrs = withTag(attrs, t.Tag)
		}
		return opened(openWriter(t.Path, opts, newJSONForm(attrs), held))
	case K8sFile:
		return opened(openWriter(t.Path, opts, &criForm{}, held))
	case Journald:
		return opened(openSender(journalSocket, newJournalForm(t), opts, held))
	case Syslog:
		return opened(openSender(opts.Socket, newSyslogForm(t, opts), opts, held))
	}
	return nil, nil
}

// opened keeps a nil pointer from becoming a Log.
func opened[T Log](log T, err error) (Log, error) {
	if err != nil {
		return nil, err
	}
	return log, nil
}

func withTag(attrs map[string]string, tag string) map[string]string {
	all := make(map[string]string, len(attrs)+1)
	for k, v := range attrs {
		all[k] = v
	}
	all["tag"] = tag
	return all
}

// Writer appends a container's output to a file.
type Writer struct {
	path string
	opts Options
	enc  encoder
	file *os.File
	size int64
	buf  []byte
	torn bool // the last write was cut short: the file ends within a line
	err  error
	gzip chan error // closed when the last compression has ended; nil before the first
	ring *ring
}

func openWriter(path string, opts Options, form lineForm, held *Held) (*Writer, error) {
	w := &Writer{path: path, opts: opts, enc: encoder{form: form}}
	if err := w.open(); err != nil {
		return nil, err
	}
	w.enc.takeHeld(held)
	if opts.NonBlocking {
		w.ring = newRing(w.write, opts.BufferSize)
	}
	return w, nil
}

// Held is that of Log.
func (w *Writer) Held() *Held { return w.enc.held() }

func (w *Writer) open() error {
	f, err := os.OpenFile(w.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	end, err := f.Seek(0, 2)
	if err != nil {
		f.Close()
		return fmt.Errorf("open log %s: %w", w.path, err)
	}
	w.file, w.size, w.torn = f, end, false
	if end > 0 { // a writer that was killed may have left half a line
		var last [1]byte
		_, err := f.ReadAt(last[:], end-1)
		w.torn = err == nil && last[0] != '\n'
	}
	return nil
}

// Write is that of Log.
func (w *Writer) Write(s Stream, p []byte, now time.Time) error {
	if w.ring != nil {
		return w.ring.put(s, p, now)
	}
	return w.write(s, p, now)
}

func (w *Writer) write(s Stream, p []byte, now time.Time) error {
	w.enc.form.begin(s, now)
	w.buf = w.enc.take(w.buf[:0], s, p, w.emit)
	return w.flush()
}

// emit is called after each encoded line.
func (w *Writer) emit(buf []byte) []byte {
	full := w.opts.MaxSize > 0 && w.size+int64(len(buf)) >= w.opts.MaxSize
	if !full && len(buf) < flushAt {
		return buf
	}
	w.buf = buf
	w.put()
	if full {
		if err := w.rotate(); err != nil {
			w.err = err
		}
	}
	return w.buf[:0]
}

func (w *Writer) flush() error {
	w.put()
	err := w.err
	w.err = nil
	return err
}

// put writes the encoded lines with one call.
func (w *Writer) put() {
	if len(w.buf) == 0 {
		return
	}
	defer func() { w.buf = w.buf[:0] }()
	if err := faultpoint.Err("log.write"); err != nil {
		w.err = err
		return
	}
	if w.torn {
		if n, err := w.file.Write([]byte{'\n'}); n == 0 {
			w.err = fmt.Errorf("write log: %w", err)
			return
		}
		w.size, w.torn = w.size+1, false
	}
	n, err := w.file.Write(w.buf)
	w.size += int64(n)
	if err != nil {
		w.torn = n > 0 && w.buf[n-1] != '\n'
		w.err = fmt.Errorf("write log: %w", err)
	}
}

// End is that of Log.
func (w *Writer) End(s Stream, now time.Time) error {
	if w.ring != nil {
		w.ring.drain()
	}
	w.enc.form.begin(s, now)
	w.buf = w.enc.rest(w.buf[:0], s)
	return w.flush()
}

// Busy is that of Log.
func (w *Writer) Busy() bool {
	if w.ring != nil && !w.ring.empty() {
		return true
	}
	select {
	case <-w.gzip:
		return false
	default:
		return w.gzip != nil
	}
}

// Close is that of Log.
func (w *Writer) Close() error {
	if w.ring != nil {
		w.ring.close()
	}
	var errs []error
	if w.gzip != nil {
		errs = append(errs, <-w.gzip)
	}
	return errors.Join(append(errs, w.flush(), w.file.Close())...)
}
