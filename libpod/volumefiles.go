package libpod

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/wherry-containers/wherry/pkg/archive"
	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/recorddir"
	"golang.org/x/sys/unix"
)

// importDir is where, in a volume's directory, an import is unpacked before it is moved to the data.
const importDir = "_import"

// VolumeExport writes the volume's content as a tar stream. It takes no lock: what changes meanwhile is seen as it is read.
func (e *Engine) VolumeExport(ctx context.Context, name string, out io.Writer) error {
	var dir *os.File
	err := e.withVolume(ctx, name, func(rec *volumeRecord) (err error) {
		dir, _, err = e.openVolume(rec)
		return err
	})
	if err != nil {
		return err
	}
	defer dir.Close()
	buffered := bufio.NewWriterSize(out, 256<<10)
	p := archive.NewPacker(buffered, archive.Options{Attribute: keptAttribute})
	if err := p.Tree(ctx, dir, "."); err != nil {
		return fmt.Errorf("export volume %q: %w", name, err)
	}
	return errors.Join(p.Close(), buffered.Flush())
}

// VolumeExportFile is VolumeExport into a file, which is complete or not there.
func (e *Engine) VolumeExportFile(ctx context.Context, name, file string) (err error) {
	partial := filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+".tmp") // one that is killed leaves it to the next
	// In a directory of many users somebody else's file may wait under that name: it is not written to.
	if err := os.Remove(partial); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	tmp, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			tmp.Close()
			os.Remove(tmp.Name())
		}
	}()
	if err := e.VolumeExport(ctx, name, tmp); err != nil {
		return err
	}
	faultpoint.Hit("volume.exported")
	if err := errors.Join(tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), file)
}

// keptAttribute tells which extended attributes an export carries: the kernel's own file systems have others.
func keptAttribute(name string) bool {
	return strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "user.overlay.") || name == "security.capability"
}

// openVolume opens the directory with the volume's content; ours says that it is in the volume's own directory.
func (e *Engine) openVolume(rec *volumeRecord) (dir *os.File, ours bool, err error) {
	name := rec.Volume.Name
	v, err := parseVolumeOpts(rec.Volume.Options)
	if err != nil {
		return nil, false, fmt.Errorf("volume %q: %w", name, err)
	}
	paths := []string{e.volumeData(name)}
	switch v.fstype {
	case "":
	case "bind":
		paths = []string{v.device}
	default:
		paths = nil
		if place := e.volumePlace(name); isMountPoint(place) {
			paths = append(paths, place)
		}
		for _, h := range e.volumeHolders(name) {
			paths = append(paths, fmt.Sprintf("/proc/%d/root%s", h.Pid, h.Path))
		}
	}
	for _, p := range paths {
		if dir, err = os.OpenFile(p, unix.O_PATH|unix.O_DIRECTORY, 0); err == nil {
			return dir, v.fstype == "", nil
		}
	}
	if v.fstype != "" && v.fstype != "bind" { // who is listed may be at its end
		err = errdefs.New(errdefs.ErrState, "volume %q is of type %s and mounted by nobody (start a container that uses it, or: wherry volume mount %s)", name, v.fstype, name)
	}
	return nil, false, err
}

// VolumeImport unpacks a tar stream into the volume; what is there already under other names stays. The stream is unpacked
// aside first: until it is read to its end the volume is as it was. From then on the volume's record says that there is
// something to move, and whoever comes next moves what a killed import did not. A volume that is mounted from elsewhere is
// written in place.
func (e *Engine) VolumeImport(ctx context.Context, name string, stream io.Reader) error {
	var dir *os.File
	var ours bool
	err := e.withVolume(ctx, name, func(rec *volumeRecord) (err error) {
		dir, ours, err = e.openVolume(rec)
		return err
	})
	if err != nil {
		return err
	}
	defer dir.Close()
	in := bufio.NewReaderSize(stream, 64<<10)
	if !ours {
		return e.unpack(ctx, name, in, dir)
	}
	stage, unlock, err := e.stageImport(name)
	if err != nil {
		return err
	}
	defer unlock()
	if err := e.unpack(ctx, name, in, stage); err != nil {
		return errors.Join(err, recorddir.RemoveAll(e.importPath(name)))
	}
	if err := e.commitImport(ctx, name, stage); err != nil {
		return fmt.Errorf("import into volume %q: %w", name, err)
	}
	return nil
}

func (e *Engine) importPath(name string) string {
	return filepath.Join(e.volumes.Path(name), importDir)
}

// stageImport makes the directory to unpack into, anew if a killed import left one, and holds it locked.
func (e *Engine) stageImport(name string) (*os.File, func(), error) {
	dir := e.importPath(name)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, nil, fmt.Errorf("import into volume %q: %w", name, err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, nil, errdefs.New(errdefs.ErrInUse, "another import into volume %q is under way (wait for it)", name)
	}
	data := filepath.Join(dir, volumeData)
	err = recorddir.RemoveAll(data)
	if err == nil {
		err = mkdirLike(data, e.volumeData(name))
	}
	faultpoint.Hit("volume.staged")
	stage, openErr := os.OpenFile(data, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err := errors.Join(err, openErr); err != nil {
		lock.Close()
		return nil, nil, fmt.Errorf("import into volume %q: %w", name, err)
	}
	return stage, func() { stage.Close(); lock.Close() }, nil
}

// mkdirLike makes a directory with the owner and the mode of another one.
func mkdirLike(dir, like string) error {
	var st unix.Stat_t
	if err := unix.Lstat(like, &st); err != nil {
		return &os.PathError{Op: "stat", Path: like, Err: err}
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	return errors.Join(os.Chown(dir, int(st.Uid), int(st.Gid)), unix.Chmod(dir, st.Mode&0o7777))
}

// lockDir locks a directory without waiting; the lock goes with the file.
func lockDir(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// unpack writes the stream's entries below dir. Device nodes are left out where only root could make them.
func (e *Engine) unpack(ctx context.Context, name string, in *bufio.Reader, dir *os.File) error {
	top := topEntry(in)
	var skipped atomic.Int64
	opts := archive.Options{Attribute: keptAttribute, SkipDevices: e.host().rootless, Overwrite: true, Complete: true, Skipped: &skipped}
	if err := archive.Unpack(ctx, in, dir, ".", opts); err != nil {
		return fmt.Errorf("import into volume %q: %w", name, err)
	}
	if n := skipped.Load(); n > 0 {
		e.opts.Warn(fmt.Sprintf("%d device nodes were left out: only root can make them", n))
	}
	if top == nil {
		return nil
	}
	path := fmt.Sprintf("/proc/self/fd/%d", dir.Fd())
	return errors.Join(os.Chown(path, top.Uid, top.Gid), unix.Chmod(path, uint32(top.Mode)&0o7777))
}

// topEntry is the entry of the directory itself if the stream begins with it, as an export does; nothing is taken from
// the stream.
func topEntry(in *bufio.Reader) *tar.Header {
	ahead, _ := in.Peek(in.Size())
	var r io.Reader = bytes.NewReader(ahead)
	if bytes.HasPrefix(ahead, []byte("\x1f\x8b")) {
		if zr, err := gzip.NewReader(r); err == nil {
			r = zr
		}
	}
	h, err := tar.NewReader(r).Next()
	if err != nil || h.Typeflag != tar.TypeDir || path.Clean("/"+h.Name) != "/" {
		return nil
	}
	return h
}

// commitImport makes the staged files durable, notes that they are to be moved, and moves them.
func (e *Engine) commitImport(ctx context.Context, name string, stage *os.File) error {
	if err := unix.Syncfs(int(stage.Fd())); err != nil {
		return err
	}
	faultpoint.Hit("volume.unpacked")
	return e.withVolume(ctx, name, func(rec *volumeRecord) error {
		if _, err := os.Stat(filepath.Join(e.importPath(name), volumeData)); err != nil {
			return err // the volume was removed meanwhile, and made again
		}
		rec.Importing, rec.Fresh = true, false
		if err := e.writeVolume(rec); err != nil {
			return err
		}
		faultpoint.Hit("volume.importing")
		return e.finishImport(rec)
	})
}

// finishImport moves what an import has unpacked to the volume's data. It can be done again from the start at any time.
// The caller holds the volume's lock.
func (e *Engine) finishImport(rec *volumeRecord) error {
	if !rec.Importing {
		return nil
	}
	name := rec.Volume.Name
	stage, err := os.Open(filepath.Join(e.importPath(name), volumeData))
	if err == nil {
		defer stage.Close()
		data, err := os.Open(e.volumeData(name))
		if err != nil {
			return err
		}
		defer data.Close()
		if err := mergeTree(stage, data); err != nil {
			return fmt.Errorf("import into volume %q: %w", name, err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	faultpoint.Hit("volume.merged")
	rec.Importing = false
	if err := e.writeVolume(rec); err != nil {
		return err
	}
	return recorddir.RemoveAll(e.importPath(name))
}

// mergeTree moves what is in src, where nobody else works, to dst, where containers may: neither follows a link. A file
// takes the place of what has its name; directories are merged and take over owner and mode.
func mergeTree(src, dst *os.File) error {
	names, err := src.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := mergeEntry(src, dst, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		faultpoint.Hit("volume.moved")
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(src.Fd()), &st); err != nil {
		return err
	}
	if err := dst.Chown(int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := unix.Fchmod(int(dst.Fd()), st.Mode&0o7777); err != nil {
		return err
	}
	return atomicfile.SyncDir(fmt.Sprintf("/proc/self/fd/%d", dst.Fd()))
}

func mergeEntry(src, dst *os.File, name string) error {
	from, to := int(src.Fd()), int(dst.Fd())
	const dirFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	if fd, err := unix.Openat(from, name, dirFlags, 0); err == nil {
		sub := os.NewFile(uintptr(fd), name)
		defer sub.Close()
		fd, err := unix.Openat(to, name, dirFlags, 0)
		if err == nil {
			into := os.NewFile(uintptr(fd), name)
			defer into.Close()
			if err := mergeTree(sub, into); err != nil {
				return err
			}
			return unix.Unlinkat(from, name, unix.AT_REMOVEDIR)
		}
		if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			unix.Unlinkat(to, name, 0) // if it cannot go, the rename says so
		}
		return unix.Renameat(from, name, to, name)
	}
	err := unix.Renameat(from, name, to, name)
	if errors.Is(err, unix.EISDIR) {
		if err := recorddir.RemoveAll(fmt.Sprintf("/proc/self/fd/%d/%s", to, name)); err != nil {
			return err
		}
		err = unix.Renameat(from, name, to, name)
	}
	return err
}

// imports looks for what a killed import left in a volume. The caller holds the volume's lock.
func (k *checker) imports(rec *volumeRecord) {
	e, name := k.e, rec.Volume.Name
	dir := e.importPath(name)
	if _, err := os.Lstat(dir); err != nil {
		return
	}
	lock, err := lockDir(dir)
	if err != nil {
		return // it is under way
	}
	defer lock.Close()
	if rec.Importing {
		k.report("volume "+name, "an import was killed while its files were moved", func() error { return e.finishImport(rec) })
		return
	}
	k.report("volume "+name, "an import was killed while it was unpacked", func() error { return recorddir.RemoveAll(dir) })
}
