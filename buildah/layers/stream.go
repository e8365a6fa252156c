package layers

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc64"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/opencontainers/go-digest"
	tarsplit "github.com/vbatts/tar-split/tar/storage"
	"golang.org/x/sys/unix"
)

// stream takes a tar stream in pieces, once, and makes of it the digest, the record that lets containers/storage write
// the same stream again from the layer's files (tar-split), and, where wanted, the stream itself. The caller reads the
// files; another goroutine does the rest.
type stream struct {
	record io.Writer // gets the tar-split entries; nil: nobody needs them
	copy   io.Writer // gets the stream; nil: nobody needs it

	batch *batch
	made  int // batches; a small layer needs one
	free  chan *batch
	full  chan *batch
	done  chan error
	stop  chan struct{} // closed when the other side has failed
	fault error         // why; set before stop is closed

	size       int64
	sum        hash.Hash
	uids, gids map[uint32]bool
	crc        *crc64.Table
	pad        [512]byte
}

const (
	batchSize = 256 << 10
	batches   = 8
)

// batch is a piece of the stream, with what is where in it.
type batch struct {
	data  []byte
	marks []mark
}

// mark ends a part of a batch: header blocks, what fills a file's last block, or a file's content, or a piece of these.
type mark struct {
	end   int
	kind  kind
	name  string // of the header that begins here, or of the file whose content ends here
	size  int64
	crc   uint64
	whole bool // a file's content ends here
}

type kind byte

const (
	filling kind = iota // belongs to what is before it
	heading             // begins an entry
	content
)

func newStream(record, tee io.Writer) *stream {
	s := &stream{record: record, copy: tee, free: make(chan *batch, batches), full: make(chan *batch, batches),
		done: make(chan error, 1), stop: make(chan struct{}), sum: sha256.New(),
		uids: map[uint32]bool{}, gids: map[uint32]bool{}, crc: crc64.MakeTable(crc64.ISO)}
	go func() { s.done <- s.consume() }()
	return s
}

// room is the batch with at least one byte of room.
func (s *stream) room() (*batch, error) {
	if s.batch != nil && len(s.batch.data) < cap(s.batch.data) {
		return s.batch, nil
	}
	s.flush()
	if s.made < batches && len(s.free) == 0 {
		s.made++
		s.free <- &batch{data: make([]byte, 0, batchSize)}
	}
	select {
	case s.batch = <-s.free:
		return s.batch, nil
	case <-s.stop:
		return nil, s.fault
	}
}

func (s *stream) flush() {
	if s.batch != nil {
		s.full <- s.batch // never blocks: it has room for all
		s.batch = nil
	}
}

// header adds the blocks before an entry's content; an empty name begins the end of the stream.
func (s *stream) header(name string, data []byte) error { return s.add(heading, name, data) }

func (s *stream) add(k kind, name string, data []byte) error {
	s.size += int64(len(data))
	for len(data) > 0 {
		b, err := s.room()
		if err != nil {
			return err
		}
		n := copy(b.data[len(b.data):cap(b.data)], data)
		b.data = b.data[:len(b.data)+n]
		b.marks = append(b.marks, mark{end: len(b.data), kind: k, name: name})
		data, k = data[n:], filling
	}
	return nil
}

// file adds the content of an open file and what fills its last block.
func (s *stream) file(fd int, name string, size int64) error {
	s.size += size
	crc := uint64(0)
	for left := size; left > 0; {
		b, err := s.room()
		if err != nil {
			return err
		}
		at := len(b.data)
		n, err := readSome(fd, b.data[at:min(cap(b.data), at+int(min(left, batchSize)))])
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		b.data = b.data[:at+n]
		crc = crc64.Update(crc, s.crc, b.data[at:])
		left -= int64(n)
		m := mark{end: len(b.data), kind: content}
		if left == 0 {
			m.name, m.size, m.crc, m.whole = name, size, crc, true
		}
		b.marks = append(b.marks, m)
	}
	return s.add(filling, "", s.pad[:(512-size%512)%512])
}

func readSome(fd int, into []byte) (int, error) {
	for {
		n, err := unix.Read(fd, into)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, err
		case n == 0:
			return 0, errors.New("it became shorter while it was read")
		default:
			return n, nil
		}
	}
}

func (s *stream) owner(uid, gid uint32) { s.uids[uid], s.gids[gid] = true, true }

// finish waits for the rest. After a fault of the caller it only ends the other side.
func (s *stream) finish(fault error) error {
	s.flush()
	close(s.full)
	return errors.Join(fault, <-s.done)
}

func (s *stream) digest() digest.Digest { return digest.NewDigest(digest.SHA256, s.sum) }

func (s *stream) owners() (uids, gids []uint32) {
	return slices.Sorted(maps.Keys(s.uids)), slices.Sorted(maps.Keys(s.gids))
}

// consume is the other goroutine.
func (s *stream) consume() (err error) {
	defer func() {
		if err != nil {
			s.fault = errors.New("the layer cannot be written")
			close(s.stop)
			for range s.full { // lets the caller end
			}
		}
	}()
	var r recorder
	if s.record != nil {
		r.packer = tarsplit.NewJSONPacker(s.record)
	}
	for b := range s.full {
		s.sum.Write(b.data)
		if s.copy != nil {
			if _, err := s.copy.Write(b.data); err != nil {
				return err
			}
		}
		if err := r.take(b); err != nil {
			return err
		}
		b.data, b.marks = b.data[:0], b.marks[:0]
		s.free <- b
	}
	return r.segment()
}

// recorder writes tar-split entries as tar-split itself does: for each header a segment, which begins with what filled
// the block before, and then the file, also one without content. Some readers count on that.
type recorder struct {
	packer  tarsplit.Packer
	pending []byte
	name    string // of the entry whose header is pending
}

func (r *recorder) take(b *batch) error {
	if r.packer == nil {
		return nil
	}
	at := 0
	for _, m := range b.marks {
		if m.kind == heading {
			if err := r.entry(); err != nil {
				return err
			}
			r.name = m.name
		}
		if m.kind != content {
			r.pending = append(r.pending, b.data[at:m.end]...)
		}
		at = m.end
		if m.whole {
			if err := r.file(m.name, m.size, binary.BigEndian.AppendUint64(nil, m.crc)); err != nil {
				return err
			}
		}
	}
	return nil
}

// entry ends the one before, which had no content.
func (r *recorder) entry() error {
	if r.name == "" {
		return nil
	}
	return r.file(r.name, 0, nil)
}

func (r *recorder) file(name string, size int64, crc []byte) error {
	if err := r.segment(); err != nil {
		return err
	}
	r.name = ""
	entry := tarsplit.Entry{Type: tarsplit.FileType, Size: size, Payload: crc}
	entry.SetName(name)
	_, err := r.packer.AddEntry(entry)
	return err
}

// segment writes what was gathered.
func (r *recorder) segment() error {
	if len(r.pending) == 0 {
		return nil
	}
	_, err := r.packer.AddEntry(tarsplit.Entry{Type: tarsplit.SegmentType, Payload: r.pending})
	r.pending = r.pending[:0]
	return err
}

// tempFile is a file without a name.
func tempFile(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), "tar-split"), nil
	}
	f, err := os.CreateTemp(dir, ".tar-split-")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}
