package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// copyLayers unites layers (top first) in the directory dst, complete with owners, modes, times, attributes and
// hard links, whiteouts applied. With a mapping, owners are shifted by it. Nobody else may work in dst meanwhile.
func copyLayers(ctx context.Context, dst string, layers []string, m *Mapping) error {
	for _, layer := range slices.Backward(layers) {
		c := &copier{ctx: ctx, src: layer, dst: dst, mapping: m, links: map[inode]string{}}
		if err := c.run(); err != nil {
			return fmt.Errorf("copy layer %s: %w", layer, err)
		}
	}
	return nil
}

type inode struct{ dev, ino uint64 }

// copier applies one layer. Directories, links and devices are made by the walk, one after the other; the content
// of regular files is copied by workers meanwhile.
type copier struct {
	ctx      context.Context
	src, dst string
	mapping  *Mapping
	links    map[inode]string // regular files with several names: the first of them
	extra    [][2]string      // hard links to make when all files are there
	dirs     []dirTimes       // set last, for every new entry changes them

	files chan fileJob
	wg    sync.WaitGroup
	mu    sync.Mutex
	err   error
}

type dirTimes struct {
	path string
	st   unix.Stat_t
}

type fileJob struct {
	src, dst string
	st       unix.Stat_t
}

func (c *copier) run() error {
	c.files = make(chan fileJob, 64)
	for range min(4, runtime.NumCPU()+1) {
		c.wg.Add(1)
		go func() {
			defer c.wg.Done()
			for job := range c.files {
				if c.failed() == nil {
					c.fail(c.copyFile(job))
				}
			}
		}()
	}
	c.fail(c.dir(""))
	close(c.files)
	c.wg.Wait()
	if err := c.failed(); err != nil {
		return err
	}
	for _, l := range c.extra {
		if err := os.Link(l[0], l[1]); err != nil {
			return err
		}
	}
	for _, d := range slices.Backward(c.dirs) {
		if err := setTimes(d.path, &d.st); err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) fail(err error) {
	if err == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
}

func (c *copier) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// dir copies the directory rel of the layer and all below it.
func (c *copier) dir(rel string) error {
	src, dst := filepath.Join(c.src, rel), filepath.Join(c.dst, rel)
	if rel == "" {
		src, dst = c.src+"/.", c.dst+"/." // either may be a link: /proc/self/fd/7
	}
	if err := c.ctx.Err(); err != nil {
		return context.Cause(c.ctx)
	}
	if err := c.failed(); err != nil {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Lstat(src, &st); err != nil {
		return &os.PathError{Op: "stat", Path: src, Err: err}
	}
	if err := makeDir(src, dst); err != nil {
		return err
	}
	if err := c.metadata(src, dst, &st); err != nil {
		return err
	}
	c.dirs = append(c.dirs, dirTimes{dst, st})
	entries, err := os.ReadDir(src)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := c.entry(filepath.Join(rel, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// makeDir makes dst a directory, empty if the layer's directory hides what the layers below have there.
func makeDir(src, dst string) error {
	var st unix.Stat_t
	err := unix.Lstat(dst, &st)
	switch {
	case err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR:
		if !opaque(src) {
			return nil
		}
		return emptyDir(dst)
	case err == nil:
		if err := os.Remove(dst); err != nil {
			return err
		}
	case !errors.Is(err, unix.ENOENT):
		return &os.PathError{Op: "stat", Path: dst, Err: err}
	}
	return os.Mkdir(dst, 0o700)
}

func emptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) entry(rel string) error {
	src, dst := filepath.Join(c.src, rel), filepath.Join(c.dst, rel)
	var st unix.Stat_t
	if err := unix.Lstat(src, &st); err != nil {
		return &os.PathError{Op: "stat", Path: src, Err: err}
	}
	kind := st.Mode & unix.S_IFMT
	if kind == unix.S_IFDIR {
		return c.dir(rel)
	}
	if err := os.RemoveAll(dst); err != nil {
		return err
	}
	if kind == unix.S_IFCHR && st.Rdev == 0 {
		return nil // a whiteout
	}
	if st.Nlink > 1 {
		id := inode{uint64(st.Dev), st.Ino}
		if first, ok := c.links[id]; ok {
			c.extra = append(c.extra, [2]string{first, dst})
			return nil
		}
		c.links[id] = dst
	}
	if kind == unix.S_IFREG {
		c.files <- fileJob{src, dst, st}
		return nil
	}
	if err := makeSpecial(src, dst, &st); err != nil {
		return err
	}
	if err := c.metadata(src, dst, &st); err != nil {
		return err
	}
	return setTimes(dst, &st)
}

func makeSpecial(src, dst string, st *unix.Stat_t) error {
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		target, err := os.Readlink(src)
		if err != nil {
			return err
		}
		return os.Symlink(target, dst)
	}
	if err := unix.Mknod(dst, st.Mode, int(st.Rdev)); err != nil {
		return &os.PathError{Op: "mknod", Path: dst, Err: err}
	}
	return nil
}

func (c *copier) copyFile(job fileJob) error {
	in, err := os.OpenFile(job.src, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(job.dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	if unix.IoctlFileClone(int(out.Fd()), int(in.Fd())) != nil {
		if _, err := io.Copy(out, in); err != nil { // copy_file_range where it works
			return err
		}
	}
	if err := c.metadata(job.src, job.dst, &job.st); err != nil {
		return err
	}
	return setTimes(job.dst, &job.st)
}

// metadata sets owner, attributes and mode, in the order in which none undoes another: chown drops the set-id bits
// and file capabilities.
func (c *copier) metadata(src, dst string, st *unix.Stat_t) error {
	uid, gid := int(st.Uid), int(st.Gid)
	if c.mapping != nil {
		var err error
		if uid, gid, err = c.mapping.shift(uid, gid); err != nil {
			return fmt.Errorf("%s: %w", dst, err)
		}
	}
	if err := os.Lchown(dst, uid, gid); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Chmod(dst, st.Mode&0o7777); err != nil {
			return &os.PathError{Op: "chmod", Path: dst, Err: err}
		}
	}
	return copyAttributes(src, dst, c.mapping)
}

func setTimes(path string, st *unix.Stat_t) error {
	times := []unix.Timespec{st.Atim, st.Mtim}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "utimes", Path: path, Err: err}
	}
	return nil
}

// syncTree makes all that was written to dir's file system durable.
func syncTree(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}
