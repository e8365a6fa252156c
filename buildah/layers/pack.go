package layers

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/rootfs"
)

// packer writes a layer as the tar stream that BuildKit makes of it: what differs from the tree below, in the order of
// names; each directory above something that differs; a whiteout for each file that is gone.
type packer struct {
	out   *stream
	epoch time.Time // no entry is younger; zero: as they are
	full  bool      // the upper tree is whole, not only what differs
	links map[uint64]string
	hides bool
	// parents are the headers of the directories that lead here and were not written yet.
	parents []*tar.Header
	head    bytes.Buffer
}

// pack writes the layer that makes the tree at upper of the one at lower; "" is the empty tree.
func (p *packer) pack(ctx context.Context, upper, lower string) error {
	up, err := os.Open(upper)
	if err != nil {
		return err
	}
	defer up.Close()
	var down *os.File
	if lower != "" {
		if down, err = os.Open(lower); err != nil {
			return err
		}
		defer down.Close()
	}
	p.links = map[uint64]string{}
	if err := p.directory(ctx, up, down, "", p.full); err != nil {
		return err
	}
	return p.out.header("", make([]byte, 1024))
}

// directory packs what is in a directory; down is nil where there is none below. With full, what is not there is gone.
func (p *packer) directory(ctx context.Context, up, down *os.File, rel string, full bool) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	names, err := up.Readdirnames(-1)
	if err != nil {
		return err
	}
	var gone map[string]bool
	if full && down != nil {
		if names, gone, err = withGone(names, down); err != nil {
			return err
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if gone[name] {
			err = p.whiteout(path.Join(rel, name))
		} else {
			err = p.entry(ctx, up, down, name, path.Join(rel, name), full)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// withGone adds the names that are in the lower directory only.
func withGone(names []string, down *os.File) ([]string, map[string]bool, error) {
	if _, err := down.Seek(0, io.SeekStart); err != nil {
		return nil, nil, err
	}
	below, err := down.Readdirnames(-1)
	if err != nil {
		return nil, nil, err
	}
	have := make(map[string]bool, len(names))
	for _, name := range names {
		have[name] = true
	}
	gone := map[string]bool{}
	for _, name := range below {
		var st unix.Stat_t
		if !have[name] && lstat(down, name, &st) {
			gone[name] = true
			names = append(names, name)
		}
	}
	return names, gone, nil
}

// lstat says what is in a tree below. What stands for something that is gone is not there.
func lstat(dir *os.File, name string, st *unix.Stat_t) bool {
	if dir == nil || unix.Fstatat(int(dir.Fd()), name, st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return false
	}
	_, gone := rootfs.Whiteout(name, st)
	return !gone
}

func (p *packer) entry(ctx context.Context, up, down *os.File, name, rel string, full bool) error {
	var st, below unix.Stat_t
	if err := unix.Fstatat(int(up.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "stat", Path: rel, Err: err}
	}
	if gone, ok := rootfs.Whiteout(name, &st); ok {
		p.hides = true
		if full || !lstat(down, gone, &below) { // there is nothing to hide
			return nil
		}
		return p.whiteout(path.Join(path.Dir(rel), gone))
	}
	was := lstat(down, name, &below)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return p.subtree(ctx, up, down, name, rel, &st, &below, was, full)
	case unix.S_IFSOCK:
		return nil // nobody can be behind it any more
	}
	if was {
		same, err := sameFile(up, down, name, &st, &below)
		if err != nil || same {
			return err
		}
	}
	return p.leaf(up, name, rel, &st)
}

// subtree packs a directory, itself only if it is new or differs, or if something in it does.
func (p *packer) subtree(ctx context.Context, up, down *os.File, name, rel string, st, below *unix.Stat_t, was, full bool) error {
	dir, err := openDir(up, name, rel)
	if err != nil {
		return err
	}
	defer dir.Close()
	h, err := p.headerOf(int(dir.Fd()), st, rel+"/")
	if err != nil {
		return err
	}
	h.Typeflag = tar.TypeDir
	p.parents = append(p.parents, h)
	defer func() { p.parents = p.parents[:max(0, len(p.parents)-1)] }()
	var lower *os.File
	if was && below.Mode&unix.S_IFMT == unix.S_IFDIR {
		if lower, err = openDir(down, name, rel); err != nil {
			return err
		}
		defer lower.Close()
	}
	if lower == nil || !sameStat(st, below) || !sameCapability(dir, lower) {
		if err := p.above(); err != nil {
			return err
		}
	}
	opaque := rootfs.Opaque(int(dir.Fd()))
	p.hides = p.hides || opaque
	if err := p.directory(ctx, dir, lower, rel, full || opaque); err != nil {
		return err
	}
	return nil
}

func openDir(at *os.File, name, rel string) (*os.File, error) {
	fd, err := unix.Openat(int(at.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: rel, Err: err}
	}
	return os.NewFile(uintptr(fd), rel), nil
}

// above writes the directories that lead here, each once.
func (p *packer) above() error {
	for i, h := range p.parents {
		if h == nil {
			continue
		}
		if err := p.header(h); err != nil {
			return err
		}
		p.parents[i] = nil
	}
	return nil
}

// whiteoutPrefix begins the name of an entry that says that a file is gone.
const whiteoutPrefix = ".wh."

func (p *packer) whiteout(rel string) error {
	p.hides = true
	if err := p.above(); err != nil {
		return err
	}
	return p.header(&tar.Header{Typeflag: tar.TypeReg, Name: path.Join(path.Dir(rel), whiteoutPrefix+path.Base(rel)), ModTime: time.Unix(0, 0)})
}

// leaf packs what is no directory.
func (p *packer) leaf(dir *os.File, name, rel string, st *unix.Stat_t) error {
	if err := p.above(); err != nil {
		return err
	}
	if first, ok := p.links[st.Ino]; ok && st.Nlink > 1 {
		h, err := p.headerOf(-1, st, rel)
		if err != nil {
			return err
		}
		h.Typeflag, h.Linkname = tar.TypeLink, first
		return p.header(h)
	}
	if st.Nlink > 1 {
		p.links[st.Ino] = rel
	}
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		return p.regular(dir, name, rel, st)
	}
	h, err := p.headerOf(-1, st, rel)
	if err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		h.Typeflag = tar.TypeSymlink
		h.Linkname, err = readlink(dir, name)
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	case unix.S_IFCHR:
		h.Typeflag = tar.TypeChar
	case unix.S_IFBLK:
		h.Typeflag = tar.TypeBlock
	}
	if err != nil {
		return err
	}
	if h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock {
		h.Devmajor, h.Devminor = int64(unix.Major(uint64(st.Rdev))), int64(unix.Minor(uint64(st.Rdev)))
	}
	return p.header(h)
}

func readlink(dir *os.File, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(dir.Fd()), name, buf)
	if err != nil {
		return "", &os.PathError{Op: "readlink", Path: name, Err: err}
	}
	return string(buf[:n]), nil
}

func (p *packer) regular(dir *os.File, name, rel string, st *unix.Stat_t) error {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: rel, Err: err}
	}
	defer unix.Close(fd)
	h, err := p.headerOf(fd, st, rel)
	if err != nil {
		return err
	}
	h.Typeflag, h.Size = tar.TypeReg, st.Size
	if err := p.header(h); err != nil {
		return err
	}
	if st.Size == 0 {
		return nil
	}
	return p.out.file(fd, rel, st.Size)
}

// headerOf describes a file; fd is -1 where it cannot have attributes worth keeping.
func (p *packer) headerOf(fd int, st *unix.Stat_t, name string) (*tar.Header, error) {
	// Parts of a second would make the header three times as long.
	h := &tar.Header{Name: name, Mode: int64(st.Mode & 0o7777), Uid: int(st.Uid), Gid: int(st.Gid), ModTime: time.Unix(int64(st.Mtim.Sec), 0), Format: tar.FormatPAX}
	if !p.epoch.IsZero() && h.ModTime.After(p.epoch) {
		h.ModTime = time.Unix(p.epoch.Unix(), 0)
	}
	p.out.owner(st.Uid, st.Gid)
	if fd < 0 {
		return h, nil
	}
	attributes, err := attributesOf(fd)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(attributes) > 0 {
		h.PAXRecords = attributes
	}
	return h, nil
}

// header writes the blocks before the content.
func (p *packer) header(h *tar.Header) error {
	p.head.Reset()
	if err := tar.NewWriter(&p.head).WriteHeader(h); err != nil {
		return fmt.Errorf("tar entry %s: %w", h.Name, err)
	}
	return p.out.header(h.Name, p.head.Bytes())
}

// paxAttribute is what the names of extended attributes begin with in a tar stream.
const paxAttribute = "SCHILY.xattr."

// attributesOf reads the extended attributes that belong into a layer: capabilities, and the user's own.
func attributesOf(fd int) (map[string]string, error) {
	var small [1024]byte
	buf := small[:]
	n, err := unix.Flistxattr(fd, buf)
	if errors.Is(err, unix.ERANGE) {
		buf = make([]byte, 1<<16)
		n, err = unix.Flistxattr(fd, buf)
	}
	if errors.Is(err, unix.EOPNOTSUPP) || n == 0 {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("list attributes: %w", err)
	}
	var kept map[string]string
	for _, name := range splitNames(buf[:n]) {
		if !keepAttribute(name) {
			continue
		}
		value := make([]byte, 1<<16)
		n, err := unix.Fgetxattr(fd, name, value)
		if err != nil {
			return nil, fmt.Errorf("read attribute %s: %w", name, err)
		}
		if kept == nil {
			kept = map[string]string{}
		}
		kept[paxAttribute+name] = string(value[:n])
	}
	return kept, nil
}

func splitNames(list []byte) []string {
	return strings.Split(strings.TrimRight(string(list), "\x00"), "\x00")
}

func keepAttribute(name string) bool {
	if name == "security.capability" {
		return true
	}
	return strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "user.overlay.") &&
		!strings.HasPrefix(name, "user.fuseoverlayfs.") && !strings.HasPrefix(name, "user.containers.")
}
