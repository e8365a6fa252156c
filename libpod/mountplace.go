package libpod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/recorddir"
	"github.com/wherry-containers/wherry/pkg/rootfs"
	"github.com/wherry-containers/wherry/pkg/safepath"
	"golang.org/x/sys/unix"
)

// placesDir is where, in the run directory, things are mounted that the container's mounts then are made of. They are
// mounted in the container's own mount namespace only, so they go with it.
const placesDir = "mounts"

// newPlace makes an empty mount point, a directory or a file.
func (s *startup) newPlace(isDir bool) (string, error) {
	s.places++
	dir := filepath.Join(s.runDir, placesDir)
	if s.monitor == nil { // a look at the files only, by a process that is gone soon: nothing of it may stay
		dir = filepath.Join(s.e.dirs.Run, "view")
		if err := s.hide(dir); err != nil {
			return "", err
		}
	}
	path := filepath.Join(dir, strconv.Itoa(s.places))
	if isDir {
		return path, os.MkdirAll(path, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return "", err
	}
	return path, f.Close()
}

// hide covers dir, for this mount namespace, by an empty tmpfs.
func (s *startup) hide(dir string) error {
	if s.places > 1 {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=755")
}

// pin mounts what f is open on at a place of ours. The runtime, which goes by paths, cannot be sent elsewhere then by who
// can change the path to f.
func (s *startup) pin(f *os.File) (string, error) {
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	place, err := s.newPlace(info.IsDir())
	if err != nil {
		return "", err
	}
	source := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	if err := unix.Mount(source, place, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return "", fmt.Errorf("mount %s: %w", f.Name(), err)
	}
	return place, nil
}

// below is what m's subpath names below source, whose content is not to be trusted: links do not lead out of it, also
// when they are made while we look.
func (s *startup) below(source string, m record.Mount) (string, error) {
	if m.SubPath == "" {
		return source, nil
	}
	f, err := safepath.OpenIn(source, m.SubPath, unix.O_PATH, 0)
	if err != nil {
		return "", errdefs.New(errdefs.ErrNotFound, "%s %q has no %q to mount at %q (%v)", m.Type, m.Source, m.SubPath, m.Target, errors.Unwrap(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.IsDir() && !info.Mode().IsRegular() {
		return "", errdefs.New(errdefs.ErrInvalid, "%q in %s %q is neither a directory nor a file", m.SubPath, m.Type, m.Source)
	}
	return s.pin(f)
}

// overlaid is an overlay of source, which stays as it is. What the container writes goes to the user's directory, or to
// one of ours that is empty at each start.
func (s *startup) overlaid(ctx context.Context, m record.Mount, source string) (string, error) {
	if info, err := os.Stat(source); err != nil {
		return "", err
	} else if !info.IsDir() {
		return "", errdefs.New(errdefs.ErrInvalid, "option O of the mount at %q: %q is not a directory", m.Target, source)
	}
	upper, work := m.Upper, m.Work
	if upper == "" {
		var err error
		if upper, work, err = s.freshUpper(); err != nil {
			return "", err
		}
	}
	place, err := s.layered(ctx, rootfs.Spec{Lower: []string{source}, Upper: upper, Work: work})
	if err != nil {
		return "", errdefs.New(errdefs.ErrInvalid, "overlay at %q: %v", m.Target, err)
	}
	return place, nil
}

// freshUpper makes an empty read-write layer for a mount in the container's directory.
func (s *startup) freshUpper() (upper, work string, err error) {
	dir := filepath.Join(s.e.dirs.Container(s.c.ID), placesDir, strconv.Itoa(s.places+1))
	if err := recorddir.RemoveAll(dir); err != nil {
		return "", "", err
	}
	return filepath.Join(dir, record.UpperDir), filepath.Join(dir, record.WorkDir), os.MkdirAll(dir, 0o700)
}

func (s *startup) layered(ctx context.Context, m rootfs.Spec) (string, error) {
	found, err := rootfs.Detect(ctx, s.e.dirs)
	if err != nil {
		return "", err
	}
	place, err := s.newPlace(true)
	if err != nil {
		return "", err
	}
	m.Target, m.Driver = place, found.Driver
	return place, rootfs.Mount(ctx, m)
}

// imageSource mounts an image's files, with a read-write layer of ours unless they are read-only.
func (s *startup) imageSource(ctx context.Context, m record.Mount) (string, error) {
	if m.Image == nil {
		return "", errdefs.New(errdefs.ErrBroken, "the mount at %q has no image (make the container anew)", m.Target)
	}
	img, err := s.e.images.Lookup(ctx, m.Image.ID)
	if err != nil {
		return "", fmt.Errorf("image of the mount at %q: %w", m.Target, err)
	}
	layers := rootfs.Spec{Lower: img.Lower, ReadOnly: m.ReadOnly}
	if !m.ReadOnly {
		if layers.Upper, layers.Work, err = s.freshUpper(); err != nil {
			return "", err
		}
	}
	place, err := s.layered(ctx, layers)
	if err != nil {
		return "", err
	}
	return s.below(place, m)
}

// keepPeers takes a copy of what is to be mounted shared, while it still is a peer of the host's mount: mounts that are
// made below it in the container are then seen by the host too. It runs before the mount namespace is made.
func (s *startup) keepPeers() error {
	for _, m := range s.c.Mounts {
		if !strings.HasSuffix(m.Propagation, "shared") {
			continue
		}
		if s.e.host().rootless {
			return errdefs.New(errdefs.ErrUnsupported, "mount at %q: propagation %s needs root, for the host does not take mounts from a user namespace (use rslave, which takes the host's)", m.Target, m.Propagation)
		}
		if m.Type != "bind" {
			continue
		}
		fd, err := unix.OpenTree(unix.AT_FDCWD, m.Source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
		if errors.Is(err, unix.ENOENT) {
			continue // it is made, or named in an error, later
		}
		if err != nil {
			return fmt.Errorf("source %q of the mount at %q: %w", m.Source, m.Target, err)
		}
		if s.peers == nil {
			s.peers = map[string]*os.File{}
		}
		s.peers[m.Target] = os.NewFile(uintptr(fd), m.Source)
	}
	return nil
}

// peer mounts what keepPeers kept for the mount at target.
func (s *startup) peer(target string) (string, error) {
	f := s.peers[target]
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	place, err := s.newPlace(info.IsDir())
	if err != nil {
		return "", err
	}
	if err := unix.MoveMount(int(f.Fd()), "", unix.AT_FDCWD, place, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return "", fmt.Errorf("mount %s: %w", f.Name(), err)
	}
	return place, nil
}

// alone mounts source without what is mounted below it. Runtimes take that along where the kernel refuses to leave it
// out, without a word.
func (s *startup) alone(m record.Mount, source string) (string, error) {
	place, err := s.newPlace(true)
	if err != nil {
		return "", err
	}
	err = unix.Mount(source, place, "", unix.MS_BIND, "")
	if errors.Is(err, unix.EINVAL) {
		return "", errdefs.New(errdefs.ErrUnsupported, "mount at %q: without root the host's mounts below %q cannot be left out (mount it recursively)", m.Target, source)
	} else if err != nil {
		return "", fmt.Errorf("mount %s: %w", source, err)
	}
	return place, nil
}

// hasMountsBelow tells whether something is mounted below dir, which a read-only mount of dir alone leaves writable.
func hasMountsBelow(dir string) bool {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return false
	}
	data, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], strings.TrimSuffix(real, "/")+"/") {
			return true
		}
	}
	return false
}

// canReachBelow tells whether the kernel can make a mount read-only together with those below it (5.12 can).
func canReachBelow() bool {
	err := unix.MountSetattr(-1, "", 0, &unix.MountAttr{})
	return !errors.Is(err, syscall.ENOSYS)
}
