package logdriver

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Sender passes a container's lines to a daemon of this machine, a datagram each.
type Sender struct {
	path string
	enc  encoder
	fd   int // -1: not connected
	buf  []byte
	err  error
	ring *ring
}

// sendTimeout bounds how long a daemon that does not read can hold the container up; the line is lost then.
const sendTimeout = 2 * time.Second

// openSender connects at once, so that a missing daemon is told when the container starts.
func openSender(path string, form lineForm, opts Options, held *Held) (*Sender, error) {
	s := &Sender{path: path, enc: encoder{form: form}, fd: -1}
	s.enc.takeHeld(held)
	if err := s.connect(); err != nil {
		return nil, err
	}
	if opts.NonBlocking {
		s.ring = newRing(s.write, opts.BufferSize)
	}
	return s, nil
}

func (s *Sender) connect() error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("log to %s: %w", s.path, err)
	}
	timeout := unix.NsecToTimeval(int64(sendTimeout))
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: s.path}); err != nil {
		unix.Close(fd)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
			return errdefs.New(errdefs.ErrUnsupported, "log to %s: nobody listens there (use --log-driver json-file, or start the daemon)", s.path)
		}
		return fmt.Errorf("log to %s: %w", s.path, err)
	}
	s.fd = fd
	return nil
}

// send passes one datagram on; a daemon that was started anew is connected to again.
func (s *Sender) send(message []byte) error {
	for try := 0; ; try++ {
		if s.fd < 0 {
			if err := s.connect(); err != nil {
				return err
			}
		}
		err := unix.Sendto(s.fd, message, unix.MSG_NOSIGNAL, nil)
		switch {
		case err == nil:
			return nil
		case err == unix.EINTR:
			continue
		case try == 0 && (err == unix.ECONNREFUSED || err == unix.ENOTCONN || err == unix.ECONNRESET):
			unix.Close(s.fd)
			s.fd = -1
			continue
		}
		return fmt.Errorf("log to %s: %w", s.path, err)
	}
}

// emit is called with one encoded line.
func (s *Sender) emit(buf []byte) []byte {
	if len(buf) > 0 {
		if err := s.send(buf); err != nil {
			s.err = err
		}
	}
	return buf[:0]
}

// Write is that of Log.
func (s *Sender) Write(stream Stream, p []byte, now time.Time) error {
	if s.ring != nil {
		return s.ring.put(stream, p, now)
	}
	return s.write(stream, p, now)
}

func (s *Sender) write(stream Stream, p []byte, now time.Time) error {
	s.enc.form.begin(stream, now)
	s.buf = s.enc.take(s.buf[:0], stream, p, s.emit)
	return s.failed()
}

func (s *Sender) failed() error {
	err := s.err
	s.err = nil
	return err
}

// End is that of Log.
func (s *Sender) End(stream Stream, now time.Time) error {
	if s.ring != nil {
		s.ring.drain()
	}
	s.enc.form.begin(stream, now)
	s.emit(s.enc.rest(s.buf[:0], stream))
	return s.failed()
}

// Held is that of Log.
func (s *Sender) Held() *Held { return s.enc.held() }

// Busy is that of Log.
func (s *Sender) Busy() bool { return s.ring != nil && !s.ring.empty() }

// Close is that of Log. A journal gets a mark, by which readers that follow see that no more comes.
func (s *Sender) Close() error {
	if s.ring != nil {
		s.ring.close()
	}
	if form, ok := s.enc.form.(*journalForm); ok {
		s.emit(form.end(s.buf[:0]))
	}
	if s.fd >= 0 {
		unix.Close(s.fd)
		s.fd = -1
	}
	return s.failed()
}

// SendJournal passes one entry to the journal, if there is one, without waiting for it.
func SendJournal(entry []byte) {
	s := Sender{path: journalSocket, fd: -1}
	if s.connect() != nil {
		return
	}
	defer unix.Close(s.fd)
	unix.SetNonblock(s.fd, true)
	unix.Sendto(s.fd, entry, unix.MSG_NOSIGNAL, nil)
}
