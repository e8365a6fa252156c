// Package archive copies file trees between directories whose content nobody trusts, and to and from tar streams. It
// works on open directories: what lies below them is opened one name at a time and never by following a link.
package archive

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Options say what becomes of the files on their way. The zero value keeps everything but extended attributes.
type Options struct {
	Owner       func(uid, gid int) (int, int) // the owner of what is written; nil: the same
	Attribute   func(name string) bool        // extended attributes to keep; nil: none
	DropSetID   bool                          // files lose the bits that give their owner's rights to who runs them
	SkipDevices bool                          // device nodes are left out
	Overwrite   bool                          // a file may take the place of a directory, and the reverse
	Restate     bool                          // of Unpack: directories that are there get owner, mode and time of their entries
	Complete    bool                          // of Unpack: a stream that lacks the two blocks of zeroes at its end is refused as cut off
	Skipped     *atomic.Int64                 // counts what was left out: device nodes, sockets; may be nil
}

func (o *Options) skip() {
	if o.Skipped != nil {
		o.Skipped.Add(1)
	}
}

// meta is what a file has beside its content.
type meta struct {
	mode         uint32 // with the type
	uid, gid     int
	atime, mtime unix.Timespec
	attributes   []attribute
}

type attribute struct {
	name  string
	value []byte
}

func (o *Options) metaOf(st *unix.Stat_t) meta {
	m := meta{mode: st.Mode, uid: int(st.Uid), gid: int(st.Gid), atime: st.Atim, mtime: st.Mtim}
	o.change(&m)
	return m
}

func (o *Options) change(m *meta) {
	if o.Owner != nil {
		m.uid, m.gid = o.Owner(m.uid, m.gid)
	}
	if o.DropSetID && m.mode&unix.S_IFMT != unix.S_IFDIR {
		m.mode &^= unix.S_ISUID | unix.S_ISGID
	}
}

// fdPath names an open file. Opening it again opens that very file, without any look at a directory.
func fdPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// reopen opens the regular file or directory behind a descriptor that only names it (O_PATH). The caller has looked at
// its type: what a device does when it is opened is not known.
func reopen(fd, flags int) (int, error) {
	return ignoringEINTR(func() (int, error) { return unix.Open(fdPath(fd), flags|unix.O_CLOEXEC, 0) })
}

func ignoringEINTR(open func() (int, error)) (int, error) {
	for {
		fd, err := open()
		if err != unix.EINTR {
			return fd, err
		}
	}
}

func openat(dir int, name string, flags int, mode uint32) (int, error) {
	return ignoringEINTR(func() (int, error) { return unix.Openat(dir, name, flags|unix.O_CLOEXEC, mode) })
}

func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: path, Err: err}
}

// keptAttributes reads the attributes that are to be kept of an open file; a file system without any has none.
func (o *Options) keptAttributes(fd int) ([]attribute, error) {
	if o.Attribute == nil {
		return nil, nil
	}
	var small [512]byte
	buf := small[:]
	n, err := unix.Flistxattr(fd, buf)
	for size := 1 << 12; errors.Is(err, unix.ERANGE) && size <= 1<<16; size *= 4 {
		buf = make([]byte, size)
		n, err = unix.Flistxattr(fd, buf)
	}
	if errors.Is(err, unix.EOPNOTSUPP) || n == 0 {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("list attributes: %w", err)
	}
	var kept []attribute
	for _, name := range strings.Split(strings.TrimRight(string(buf[:n]), "\x00"), "\x00") {
		if !o.Attribute(name) {
			continue
		}
		value := make([]byte, 1<<16)
		n, err := unix.Fgetxattr(fd, name, value)
		if errors.Is(err, unix.ENODATA) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("read attribute %s: %w", name, err)
		}
		kept = append(kept, attribute{name, value[:n:n]})
	}
	return kept, nil
}

// apply gives an open file owner, mode, attributes and times, in the order in which none undoes another: a change of
// the owner drops the set-id bits and file capabilities.
func (m *meta) apply(fd int) error {
	if err := unix.Fchown(fd, m.uid, m.gid); err != nil {
		return ownerError(m, err)
	}
	if err := unix.Fchmod(fd, m.mode&0o7777); err != nil {
		return fmt.Errorf("set mode: %w", err)
	}
	for _, a := range m.attributes {
		err := unix.Fsetxattr(fd, a.name, a.value, 0)
		if err != nil && (!errors.Is(err, unix.EOPNOTSUPP) || a.name == capability) {
			return fmt.Errorf("set attribute %s: %w", a.name, err)
		}
	}
	return m.times(fd, "")
}

// capability is the attribute without which some programs do not work.
const capability = "security.capability"

func (m *meta) times(dir int, name string) error {
	flags := unix.AT_SYMLINK_NOFOLLOW
	if name == "" {
		flags = unix.AT_EMPTY_PATH
	}
	if err := unix.UtimesNanoAt(dir, name, []unix.Timespec{m.atime, m.mtime}, flags); err != nil {
		return fmt.Errorf("set times: %w", err)
	}
	return nil
}

func ownerError(m *meta, err error) error {
	if errors.Is(err, unix.EINVAL) {
		return errdefs.New(errdefs.ErrUnsupported, "its owner %d:%d is outside of the ids that the user namespace has (see /etc/subuid and /etc/subgid)", m.uid, m.gid)
	}
	return fmt.Errorf("set owner: %w", err)
}
