package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/faultpoint"
)

// Copy copies what src names, which may be opened with O_PATH, to the entry name of the directory dst. A directory is
// united with one that is there; "." as name unites it with dst itself. What is there already keeps its owner and mode if
// it is a directory, and is replaced otherwise. A file appears when it is whole.
func Copy(ctx context.Context, src, dst *os.File, name string, opts Options) error {
	top, err := openat(int(dst.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return pathError("open", dst.Name(), err)
	}
	defer unix.Close(top)
	c := &copier{ctx: ctx, writer: writer{&opts}, top: top, links: map[inode]string{}}
	var st unix.Stat_t
	if err := unix.Fstat(int(src.Fd()), &st); err != nil {
		return pathError("stat", src.Name(), err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return c.directory(int(src.Fd()), &st, top, name, name)
	}
	return pathError("copy", src.Name(), c.opened(int(src.Fd()), &st, top, name, name))
}

type inode struct{ dev, ino uint64 }

type copier struct {
	writer
	contents
	ctx   context.Context
	top   int              // the destination
	links map[inode]string // files with several names: where the first of them went, from top
	made  []inode          // directories of the destination that a copy into itself must not copy again
}

// directory copies the directory that src names to dst's entry name. rel is where that is, for messages and links.
func (c *copier) directory(src int, st *unix.Stat_t, dst int, name, rel string) error {
	if slices.Contains(c.made, inode{uint64(st.Dev), st.Ino}) {
		return nil
	}
	in, err := reopen(src, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return pathError("open", rel, err)
	}
	list := os.NewFile(uintptr(in), rel)
	defer list.Close()
	names, err := list.Readdirnames(-1) // before anything is made: the copy of a directory into itself has an end
	if err != nil {
		return err
	}
	out, made, err := c.writer.directory(dst, name)
	if err != nil {
		return pathError("make", rel, err)
	}
	defer unix.Close(out)
	if err := c.remember(out); err != nil {
		return pathError("stat", rel, err)
	}
	if !isKernels(in) {
		if err := c.entries(in, out, names, rel); err != nil {
			return err
		}
	}
	if !made {
		return nil
	}
	m := c.opts.metaOf(st)
	if m.attributes, err = c.opts.keptAttributes(in); err == nil {
		err = m.apply(out)
	}
	return pathError("copy", rel, err)
}

// remember notes the topmost directories that were made or found in the destination.
func (c *copier) remember(out int) error {
	if len(c.made) > 0 {
		return nil
	}
	var st unix.Stat_t
	err := unix.Fstat(out, &st)
	c.made = append(c.made, inode{uint64(st.Dev), st.Ino})
	return err
}

// isKernels tells whether a directory lies in a file system that shows the kernel's own state: there is nothing to keep.
func isKernels(fd int) bool {
	var fs unix.Statfs_t
	if unix.Fstatfs(fd, &fs) != nil {
		return false
	}
	kinds := []uint32{unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.DEVPTS_SUPER_MAGIC,
		unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC, unix.BPF_FS_MAGIC, mqueueMagic}
	return slices.Contains(kinds, uint32(fs.Type))
}

const mqueueMagic = 0x19800202

// entries copies the entries of one directory: files by several workers, then the directories one after the other.
func (c *copier) entries(in, out int, names []string, rel string) error {
	if err := c.ctx.Err(); err != nil {
		return context.Cause(c.ctx)
	}
	var mu sync.Mutex
	var dirs, linked []string
	err := inParallel(len(names), func(i int) error {
		kind, err := c.entry(in, out, names[i], path.Join(rel, names[i]))
		if kind != 0 {
			mu.Lock()
			defer mu.Unlock()
			if kind == unix.S_IFDIR {
				dirs = append(dirs, names[i])
			} else {
				linked = append(linked, names[i])
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, name := range append(linked, dirs...) {
		if err := c.later(in, out, name, path.Join(rel, name)); err != nil {
			return err
		}
	}
	return nil
}

// fewEntries are not worth a second worker.
const fewEntries = 8

func inParallel(n int, do func(i int) error) error {
	workers := min(runtime.NumCPU(), 8, n/fewEntries+1)
	var next atomic.Int64
	var failed atomic.Bool
	errs := make([]error, workers)
	work := func(w int) {
		for i := next.Add(1) - 1; i < int64(n) && !failed.Load(); i = next.Add(1) - 1 {
			if errs[w] = do(int(i)); errs[w] != nil {
				failed.Store(true)
				return
			}
		}
	}
	var wg sync.WaitGroup
	for w := 1; w < workers; w++ {
		wg.Go(func() { work(w) })
	}
	work(0)
	wg.Wait()
	return errors.Join(errs...)
}

// entry copies one entry, or says what it is if it must wait: directories, and files with several names, whose first
// one must be there before the second.
func (c *copier) entry(in, out int, name, rel string) (waits uint32, err error) {
	fd, err := openat(in, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if errors.Is(err, unix.ENOENT) {
		return 0, nil // it went meanwhile
	} else if err != nil {
		return 0, pathError("open", rel, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, pathError("stat", rel, err)
	}
	kind := st.Mode & unix.S_IFMT
	if kind == unix.S_IFDIR || kind == unix.S_IFREG && st.Nlink > 1 {
		return kind, nil
	}
	return 0, pathError("copy", rel, c.opened(fd, &st, out, name, rel))
}

func (c *copier) later(in, out int, name, rel string) error {
	fd, err := openat(in, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	} else if err != nil {
		return pathError("open", rel, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return pathError("stat", rel, err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return c.directory(fd, &st, out, name, rel)
	}
	return pathError("copy", rel, c.opened(fd, &st, out, name, rel))
}

// opened copies what is no directory and is open by name only.
func (c *copier) opened(fd int, st *unix.Stat_t, out int, name, rel string) error {
	m := c.opts.metaOf(st)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return c.regular(fd, st, out, name, rel, m)
	case unix.S_IFLNK:
		target, err := readlink(fd)
		if err != nil {
			return err
		}
		return c.symlink(out, name, target, m)
	case unix.S_IFSOCK:
		c.opts.skip() // without the process behind it a socket is nothing
		return nil
	}
	return c.special(out, name, uint64(st.Rdev), m)
}

func readlink(fd int) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

func (c *copier) regular(fd int, st *unix.Stat_t, out int, name, rel string, m meta) error {
	id := inode{uint64(st.Dev), st.Ino}
	if st.Nlink > 1 {
		if first, ok := c.links[id]; ok && c.linkTo(first, out, name) == nil {
			return nil
		}
	}
	in, err := reopen(fd, unix.O_RDONLY)
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(in), name)
	defer file.Close()
	if m.attributes, err = c.opts.keptAttributes(in); err != nil {
		return err
	}
	if err := c.file(out, name, m, func(to *os.File) error { return c.copyFile(to, file, st) }); err != nil {
		return err
	}
	faultpoint.Hit("archive.file")
	if st.Nlink > 1 {
		c.links[id] = rel
	}
	return nil
}

// linkTo makes a further name of the file that was copied to first. Somebody may have put something else there.
func (c *copier) linkTo(first string, out int, name string) error {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
	fd, err := unix.Openat2(c.top, first, &how)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return fmt.Errorf("%s is no file any more", first)
	}
	return c.link(out, name, fd)
}
