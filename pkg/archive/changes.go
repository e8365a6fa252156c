package archive

import (
	"errors"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Change is one difference between a read-write layer and what lies below it.
type Change struct {
	Path string // absolute
	Kind byte   // A added, C changed, D deleted
}

// Layers are the two trees to compare.
type Layers struct {
	Upper *os.File // the read-write layer
	Lower *os.File // what lies below it, as one tree; nil: nothing
	Full  bool     // Upper is the whole tree, not only what differs
	// Whiteout tells whether an entry of Upper stands for one of Lower that is gone, and which; Opaque whether a directory
	// hides the one below.
	Whiteout func(name string, st *unix.Stat_t) (string, bool)
	Opaque   func(dir int) bool
	Strict   bool              // a file counts as changed because it is in Upper, even if it looks the same
	Hidden   func(string) bool // paths that are not looked at: what the runtime made to mount something there
}

// Changes lists the differences in the order of their paths. It looks only at what Upper holds, and into directories
// below where Upper hides them.
func Changes(l Layers) ([]Change, error) {
	c := &comparison{Layers: l}
	lower := -1
	if l.Lower != nil {
		lower = int(l.Lower.Fd())
	}
	if _, _, err := c.directory(int(l.Upper.Fd()), lower, "/"); err != nil {
		return nil, err
	}
	slices.SortFunc(c.found, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return c.found, nil
}

type comparison struct {
	Layers
	found []Change
}

// directory compares one directory; lower is -1 where there is none below. It returns how much it found and whether it
// passed over something.
func (c *comparison) directory(upper, lower int, rel string) (found, hidden bool, err error) {
	fd, err := reopen(upper, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return false, false, pathError("open", rel, err)
	}
	list := os.NewFile(uintptr(fd), rel)
	defer list.Close()
	names, err := list.Readdirnames(-1)
	if err != nil {
		return false, false, err
	}
	before := len(c.found)
	for _, name := range names {
		skipped, err := c.entry(fd, lower, name, path.Join(rel, name))
		if err != nil {
			return false, false, err
		}
		hidden = hidden || skipped
	}
	if lower >= 0 && (c.Full || c.Opaque(fd)) {
		skipped, err := c.deleted(lower, names, rel)
		if err != nil {
			return false, false, err
		}
		hidden = hidden || skipped
	}
	return len(c.found) > before, hidden, nil
}

// deleted finds what is below but not in the upper directory that hides it.
func (c *comparison) deleted(lower int, names []string, rel string) (hidden bool, err error) {
	fd, err := reopen(lower, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return false, pathError("open", rel, err)
	}
	list := os.NewFile(uintptr(fd), rel)
	defer list.Close()
	below, err := list.Readdirnames(-1)
	if err != nil {
		return false, err
	}
	have := make(map[string]bool, len(names))
	for _, name := range names {
		have[name] = true
	}
	for _, name := range below {
		p := path.Join(rel, name)
		if have[name] || have[whiteout+name] {
			continue
		}
		if c.Hidden(p) {
			hidden = true
			continue
		}
		c.found = append(c.found, Change{p, 'D'})
	}
	return hidden, nil
}

func (c *comparison) entry(upper, lower int, name, rel string) (hidden bool, err error) {
	if c.Hidden(rel) {
		return true, nil
	}
	var st unix.Stat_t
	if err := unix.Fstatat(upper, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		if errors.Is(err, unix.ENOENT) {
			err = nil // it went meanwhile
		}
		return false, pathError("stat", rel, err)
	}
	if gone, ok := c.Whiteout(name, &st); ok && !c.Full {
		if gone != opaqueMark && lower >= 0 {
			c.found = append(c.found, Change{path.Join(path.Dir(rel), gone), 'D'})
		}
		return false, nil
	}
	var below unix.Stat_t
	if lower < 0 || unix.Fstatat(lower, name, &below, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return c.added(upper, name, rel, &st)
	}
	return c.both(upper, lower, name, rel, &st, &below)
}

// opaqueMark is what the name of a marker begins a whiteout's with that hides a whole directory.
const opaqueMark = ".wh..opq"

// added notes an entry that is not below. A directory that holds nothing but what the runtime made was made with it.
func (c *comparison) added(upper int, name, rel string, st *unix.Stat_t) (hidden bool, err error) {
	at := len(c.found)
	c.found = append(c.found, Change{rel, 'A'})
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return false, nil
	}
	fd, err := openat(upper, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false, pathError("open", rel, err)
	}
	defer unix.Close(fd)
	found, hidden, err := c.directory(fd, -1, rel)
	if hidden && !found {
		c.found = c.found[:at]
		return true, err
	}
	return false, err
}

func (c *comparison) both(upper, lower int, name, rel string, st, below *unix.Stat_t) (hidden bool, err error) {
	isDir, wasDir := st.Mode&unix.S_IFMT == unix.S_IFDIR, below.Mode&unix.S_IFMT == unix.S_IFDIR
	if !isDir {
		if c.Strict && !c.Full || differs(st, below) {
			c.found = append(c.found, Change{rel, 'C'})
		}
		return false, nil
	}
	fd, err := openat(upper, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false, pathError("open", rel, err)
	}
	defer unix.Close(fd)
	down := -1
	if wasDir {
		if down, err = openat(lower, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0); err != nil {
			return false, pathError("open", rel, err)
		}
		defer unix.Close(down)
	}
	found, hidden, err := c.directory(fd, down, rel)
	// The time of a directory changes with its entries, also with those that the runtime made.
	if found || !wasDir || st.Mode != below.Mode || st.Uid != below.Uid || st.Gid != below.Gid || !hidden && st.Mtim != below.Mtim {
		c.found = append(c.found, Change{rel, 'C'})
	}
	return hidden, err
}

// differs compares as Docker does, without a look at the content.
func differs(a, b *unix.Stat_t) bool {
	return a.Mode != b.Mode || a.Uid != b.Uid || a.Gid != b.Gid || a.Rdev != b.Rdev || a.Mtim != b.Mtim ||
		a.Mode&unix.S_IFMT != unix.S_IFDIR && a.Size != b.Size
}
