package logdriver

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sort"
	"strconv"
	"strings"
)

// segmentFile is one file of a log, open for reading. It keeps its content whatever is renamed or removed meanwhile.
type segmentFile struct {
	file   *os.File
	ino    uint64 // inode that the lines were written to; the same before and after the compression
	packed bool
	skip   int // complete lines to leave out at the start
	reader *bufio.Reader
	part   []byte // the beginning of a line whose end is not there yet
}

// maxEntry bounds a line of the file; a longer one is garbage.
const maxEntry = 1 << 20

// openSegments opens all files of the log called name in dir, oldest first. A rotation may go on meanwhile.
func openSegments(dir *os.Root, name string) ([]*segmentFile, error) {
	const attempts = 50
	for range attempts {
		names, err := segmentNames(dir, name)
		if err != nil {
			return nil, err
		}
		list, err := openAll(dir, names)
		if err == nil && unmoved(dir, name, names, list) {
			return list, nil
		}
		closeSegments(list)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("open log: %w", err)
		}
	}
	return nil, errors.New("open log: it is rotated faster than it can be opened")
}

// segmentNames lists the files of the log, oldest first, a compressed copy only without its original.
func segmentNames(dir *os.Root, name string) ([]string, error) {
	d, err := dir.Open(".")
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	defer d.Close()
	entries, err := d.ReadDir(-1)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	found := map[int]string{}
	for _, entry := range entries {
		n, ok := segmentNumber(entry.Name(), name)
		if old := found[n]; ok && (old == "" || strings.HasSuffix(old, gzSuffix)) {
			found[n] = entry.Name()
		}
	}
	var numbers []int
	for n := range found {
		numbers = append(numbers, n)
	}
	sort.Sort(sort.Reverse(sort.IntSlice(numbers)))
	var names []string
	for _, n := range numbers {
		names = append(names, found[n])
	}
	return names, nil
}

func segmentNumber(file, name string) (int, bool) {
	rest, ok := strings.CutPrefix(file, name)
	if rest == "" {
		return 0, ok
	}
	rest, dotted := strings.CutPrefix(strings.TrimSuffix(rest, gzSuffix), ".")
	n, err := strconv.Atoi(rest)
	return n, ok && dotted && err == nil && n > 0 && strconv.Itoa(n) == rest
}

func openAll(dir *os.Root, names []string) (list []*segmentFile, err error) {
	for _, name := range names {
		s, err := openSegment(dir, name)
		if err != nil {
			return list, err
		}
		list = append(list, s)
	}
	return list, nil
}

func openSegment(dir *os.Root, name string) (*segmentFile, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	s := &segmentFile{file: f, ino: inode(info), packed: strings.HasSuffix(name, gzSuffix)}
	if err := s.rewind(0); err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

// same says whether s holds the lines of old, which does not grow any more. Inode numbers are used again; the time of
// the last change, which a compression keeps, tells the difference.
func (s *segmentFile) same(old *segmentFile) bool {
	a, err := s.file.Stat()
	if err != nil {
		return false
	}
	b, err := old.file.Stat()
	return err == nil && (os.SameFile(a, b) || s.ino == old.ino && a.ModTime().Equal(b.ModTime()))
}

// unmoved says whether the names still stand for the same files.
func unmoved(dir *os.Root, name string, names []string, list []*segmentFile) bool {
	again, err := segmentNames(dir, name)
	if err != nil || strings.Join(again, "/") != strings.Join(names, "/") || len(list) != len(names) {
		return false
	}
	for i, s := range list {
		now, err := dir.Stat(names[i])
		if err != nil {
			return false
		}
		then, err := s.file.Stat()
		if err != nil || !os.SameFile(now, then) {
			return false
		}
	}
	return true
}

func closeSegments(list []*segmentFile) {
	for _, s := range list {
		s.file.Close()
	}
}

// rewind starts reading at offset, which is 0 in a compressed file.
func (s *segmentFile) rewind(offset int64) error {
	if _, err := s.file.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	s.part = nil
	if !s.packed {
		s.reader = bufio.NewReaderSize(s.file, 64<<10)
		return nil
	}
	z, err := gzip.NewReader(s.file)
	if err != nil { // a damaged file must not keep the others from being read
		s.reader = bufio.NewReader(bytes.NewReader(nil))
		return nil
	}
	if id, err := strconv.ParseUint(z.Comment, 10, 64); err == nil {
		s.ino = id
	}
	s.reader = bufio.NewReaderSize(z, 64<<10)
	return nil
}

// next returns the next whole line, valid until the next call. At the end of what is there it is io.EOF; more may
// come. A line that is too long is left out.
func (s *segmentFile) next() ([]byte, error) {
	for {
		piece, err := s.reader.ReadSlice('\n')
		if err == nil && len(s.part) == 0 {
			return piece, nil
		}
		s.part = append(s.part, piece...)
		if len(s.part) > maxEntry {
			s.part = append(s.part[:0], '#') // still garbage, but short
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil:
			return nil, err
		}
		line := s.part
		s.part = s.part[len(s.part):]
		return line, nil
	}
}

// keepLast leaves all but the last n lines out, and returns how many lines it keeps.
func (s *segmentFile) keepLast(n int) (int, error) {
	if !s.packed {
		return s.seekLast(n)
	}
	total := 0
	for {
		line, err := s.next()
		if err != nil { // the end, or damage: the rest cannot be read anyway
			break
		}
		if complete(line) {
			total++
		}
	}
	if err := s.rewind(0); err != nil {
		return 0, err
	}
	s.skip = max(total-n, 0)
	return total - s.skip, nil
}

// seekLast reads from the end, twice as much each time, until it has seen n lines.
func (s *segmentFile) seekLast(n int) (int, error) {
	size, err := s.file.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	for window := int64(64 << 10); ; window *= 2 {
		start := max(size-window, 0)
		data := make([]byte, size-start)
		if _, err := s.file.ReadAt(data, start); err != nil && err != io.EOF {
			return 0, err
		}
		offset, count := lastLines(data, n, start == 0)
		if count == n || start == 0 {
			return count, s.rewind(start + int64(offset))
		}
	}
}

// lastLines finds where the last n lines of the container begin in data, which holds lines of the file; its first is
// cut off unless whole. A line of which a part was logged counts as one.
func lastLines(data []byte, n int, whole bool) (offset, count int) {
	end := len(data)
	for open := true; end > 0; open = false {
		begin := bytes.LastIndexByte(data[:end-1], '\n') + 1
		if begin == 0 && !whole {
			return 0, min(count, n-1) // how it begins is not known: look further back
		}
		line := data[begin:end]
		if complete(line) || open && line[len(line)-1] == '\n' {
			if count == n {
				return end, count
			}
			count++
		}
		end = begin
	}
	return 0, count
}
