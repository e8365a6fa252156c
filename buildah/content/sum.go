package content

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// sum is the digest of what only opening a file tells: its attributes and content.
type sum [sha256.Size]byte

// sumUp finds the sums of all files that need one: remembered, or read by several workers.
func (v *View) sumUp(ctx context.Context, lines []line) error {
	todo := v.unknown(lines)
	if len(todo) == 0 {
		return nil
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	jobs := make(chan *Entry)
	var all sync.WaitGroup
	for range min(len(todo), max(2, runtime.GOMAXPROCS(0))) {
		all.Go(func() {
			buf := make([]byte, 256<<10)
			for e := range jobs {
				if err := v.read(ctx, e, buf); err != nil {
					stop(err)
				}
			}
		})
	}
	for _, e := range todo {
		if ctx.Err() != nil {
			break
		}
		jobs <- e
	}
	close(jobs)
	all.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	_ = v.page.save() // what is not remembered is read again
	return nil
}

// unknown lists each file once whose sum must be found by reading it.
func (v *View) unknown(lines []line) []*Entry {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []*Entry
	seen := map[*Entry]bool{}
	for _, l := range lines {
		e := l.entry
		if e == nil || e.sum != nil || !e.IsRegular() && !e.IsDir() || seen[e] {
			continue
		}
		if known, ok := v.page.get(&e.Stat); ok {
			e.sum = &known
			continue
		}
		seen[e] = true
		out = append(out, e)
	}
	return out
}

// read opens a file and finds its sum. The entry then describes the file that was read.
func (v *View) read(ctx context.Context, e *Entry, buf []byte) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	began := time.Now()
	flags := unix.O_RDONLY
	if e.IsDir() {
		flags |= unix.O_DIRECTORY
	}
	f, err := v.OpenEntry(e, flags)
	if err != nil {
		return err
	}
	defer f.Close()
	var before, after unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &before); err != nil {
		return &os.PathError{Op: "stat", Path: e.Path(), Err: err}
	}
	if before.Mode&unix.S_IFMT != e.kind() {
		return fmt.Errorf("%s %w", e.Path(), ErrChanged)
	}
	s, err := sumOf(ctx, f, e, buf)
	if err != nil {
		return err
	}
	if err := unix.Fstat(int(f.Fd()), &after); err != nil {
		return &os.PathError{Op: "stat", Path: e.Path(), Err: err}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if before == after || sameContent(&before, &after) {
		v.page.put(&before, s, began)
	}
	if e != v.top || !v.opts.RootOwned {
		e.Stat = before
	}
	e.sum = &s
	return nil
}

// sameContent tells whether nothing was written to a file, or changed about it, between two looks.
func sameContent(a, b *unix.Stat_t) bool {
	return a.Dev == b.Dev && a.Ino == b.Ino && a.Size == b.Size && a.Mtim == b.Mtim && a.Ctim == b.Ctim
}

func sumOf(ctx context.Context, f *os.File, e *Entry, buf []byte) (sum, error) {
	h := sha256.New()
	attributes, err := Attributes(int(f.Fd()))
	if err != nil {
		return sum{}, &os.PathError{Op: "read attributes of", Path: e.Path(), Err: err}
	}
	for _, a := range attributes {
		if counts(a.Name) {
			h.Write(appendText(appendText(nil, a.Name), string(a.Value)))
		}
	}
	h.Write([]byte{0})
	if e.IsRegular() {
		if err := readInto(ctx, h, f, buf); err != nil {
			return sum{}, inTree(e, err)
		}
	}
	var s sum
	h.Sum(s[:0])
	return s, nil
}

func readInto(ctx context.Context, h hash.Hash, f *os.File, buf []byte) error {
	for {
		n, err := unix.Read(int(f.Fd()), buf)
		if errors.Is(err, unix.EINTR) {
			continue
		} else if err != nil {
			return &os.PathError{Op: "read", Path: f.Name(), Err: err}
		}
		if n == 0 {
			return nil
		}
		h.Write(buf[:n])
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// Attribute is one extended attribute.
type Attribute struct {
	Name  string
	Value []byte
}

// Attributes reads the extended attributes of an open file, sorted by name. Those by which overlay mounts steer
// themselves are left out: a file that carries them must not steer ours.
func Attributes(fd int) ([]Attribute, error) {
	var small [256]byte
	list := small[:]
	n, err := unix.Flistxattr(fd, list)
	if errors.Is(err, unix.ERANGE) {
		list = make([]byte, 64<<10)
		n, err = unix.Flistxattr(fd, list)
	}
	if errors.Is(err, unix.EOPNOTSUPP) || err == nil && n == 0 {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var out []Attribute
	names := strings.Split(strings.TrimRight(string(list[:n]), "\x00"), "\x00")
	slices.Sort(names)
	for _, name := range names {
		if strings.HasPrefix(name, "user.overlay.") || strings.HasPrefix(name, "trusted.overlay.") {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Fgetxattr(fd, name, value)
		if err != nil {
			continue // not for us to see, or gone meanwhile
		}
		out = append(out, Attribute{name, slices.Clone(value[:n])})
	}
	return out, nil
}

// counts tells whether an attribute is a part of the content: labels and lists of access are this machine's.
func counts(name string) bool {
	return name == "security.capability" || !strings.HasPrefix(name, "security.") && !strings.HasPrefix(name, "system.")
}
