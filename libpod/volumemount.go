package libpod

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/procs"
	"golang.org/x/sys/unix"
)

// makeVolumes makes the volumes that cfg names and that are not there.
func (e *Engine) makeVolumes(ctx context.Context, cfg *record.Config) error {
	for _, m := range cfg.Mounts {
		if m.Type != "volume" {
			continue
		}
		if err := checkVolumeName(m.Source); err != nil {
			return err
		}
		if err := e.wantVolume(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// wantVolume makes the volume of m unless it is there.
func (e *Engine) wantVolume(_ context.Context, m record.Mount) error {
	if e.volumes.Complete(m.Source) {
		return nil
	}
	_, err := e.makeVolume(VolumeCreateOptions{Name: m.Source, Driver: m.Driver, Labels: m.Labels, Opts: m.DriverOpts}, m.Anonymous)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// volumeMount mounts a volume, which is made again if it was removed meanwhile. A fresh one takes over the content of
// the image's directory.
func (s *startup) volumeMount(ctx context.Context, m record.Mount, root string) (specs.Mount, error) {
	e := s.e
	if err := e.wantVolume(ctx, m); err != nil {
		return specs.Mount{}, err
	}
	var source string
	err := e.volumes.WithLock(ctx, m.Source, func() error {
		rec, err := e.loadVolume(m.Source)
		if err != nil {
			return err
		}
		if err := e.finishImport(rec); err != nil {
			return err
		}
		v, err := parseVolumeOpts(rec.Volume.Options)
		if err != nil {
			return fmt.Errorf("volume %q: %w", m.Source, err)
		}
		v.restrict(&m)
		fresh := rec.Fresh
		if v.fstype == "" {
			source = e.volumeData(m.Source)
		} else if source, fresh, err = s.mountVolume(rec, v); err != nil {
			return fmt.Errorf("volume %q: %w", m.Source, err)
		}
		if !fresh {
			return nil
		}
		return s.fillVolume(ctx, rec, m, v, source, root)
	})
	if err != nil {
		return specs.Mount{}, err
	}
	if source, err = s.below(source, m); err != nil {
		return specs.Mount{}, err
	}
	return s.hostMount(ctx, m, source)
}

// fillVolume gives a fresh volume the content of the image's directory. The caller holds the volume's lock.
func (s *startup) fillVolume(ctx context.Context, rec *volumeRecord, m record.Mount, v volumeMount, source, root string) error {
	if !m.NoCopy && !v.noCopy && m.SubPath == "" {
		if err := copyUp(ctx, root, m.Target, source); err != nil {
			return fmt.Errorf("copy the image's %q into volume %q: %w", m.Target, m.Source, err)
		}
	}
	if err := s.ownVolume(source); err != nil {
		return fmt.Errorf("give volume %q to the container: %w", m.Source, err)
	}
	faultpoint.Hit("volume.copied")
	if !rec.Fresh {
		return nil
	}
	rec.Fresh = false
	return s.e.writeVolume(rec)
}

// holder is a process in whose mount namespace a volume is mounted.
type holder struct {
	ID    string // of the container; Pid is its monitor
	Pid   int
	Start uint64
	Path  string
}

// mountVolume mounts what the volume's options say at a place of ours, which goes with the container's last process.
// All that use a tmpfs at a time have the same one: it is taken over from the mount namespace of another user. Fresh says
// that there is nothing in it yet. The caller holds the volume's lock.
func (s *startup) mountVolume(rec *volumeRecord, v volumeMount) (place string, fresh bool, err error) {
	e, name := s.e, rec.Volume.Name
	if err := v.checkRights(e.host().rootless); err != nil {
		return "", false, err
	}
	if place = e.volumePlace(name); isMountPoint(place) {
		return place, false, nil // by volume mount
	}
	if place, err = s.newPlace(true); err != nil {
		return "", false, err
	}
	if v.fstype == "bind" {
		err := v.mount(place)
		return place, rec.Fresh && isEmptyDir(place), err
	}
	holders := e.volumeHolders(name)
	shared, err := takeOver(holders, place)
	if err != nil {
		return "", false, err
	}
	if !shared {
		if err := v.mount(place); err != nil {
			return "", false, err
		}
	}
	if s.monitor == nil {
		return place, false, nil // a look at the files only
	}
	start, err := procs.StartTime(s.monitor.Pid)
	if err != nil {
		return "", false, err
	}
	return place, !shared && isEmptyDir(place), e.writeHolders(name, append(holders, holder{s.c.ID, s.monitor.Pid, start, place}))
}

// volumeData is the directory of a volume without options.
func (e *Engine) volumeData(name string) string {
	return filepath.Join(e.volumes.Path(name), volumeData)
}

// volumePlace is where volume mount mounts a volume with options.
func (e *Engine) volumePlace(name string) string {
	return filepath.Join(e.dirs.VolumeRun(), name, volumeData)
}

func (e *Engine) holdersFile(name string) string {
	return filepath.Join(e.dirs.VolumeRun(), name, "holders.json")
}

// volumeHolders are those that have the volume mounted and are not at their end: a monitor outlives its container a little.
func (e *Engine) volumeHolders(name string) []holder {
	data, err := os.ReadFile(e.holdersFile(name))
	var holders []holder
	if err != nil || json.Unmarshal(data, &holders) != nil {
		return nil
	}
	return slices.DeleteFunc(holders, func(h holder) bool { return !procs.Alive(h.Pid, h.Start) || !e.claimsToRun(h.ID) })
}

// claimsToRun tells whether the container is started, or being started; what its record claims is enough here.
func (e *Engine) claimsToRun(id string) bool {
	c, err := e.load(id)
	return err == nil && c.state.Status != record.Created && c.state.Status != record.Exited
}

func (e *Engine) writeHolders(name string, holders []holder) error {
	data, err := json.Marshal(holders)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(e.holdersFile(name)), 0o700); err != nil {
		return err
	}
	return atomicfile.Write(e.holdersFile(name), data, 0o600, atomicfile.Volatile)
}

// takeOver mounts at place what one of the holders has mounted. Its caller runs on a thread that shares its root with no
// other one.
func takeOver(holders []holder, place string) (bool, error) {
	if len(holders) == 0 {
		return false, nil
	}
	own, err := os.Open("/proc/thread-self/ns/mnt")
	if err != nil {
		return false, err
	}
	defer own.Close()
	for _, h := range holders {
		tree, err := treeOf(h, own)
		if err != nil {
			return false, err
		}
		if tree == nil {
			continue
		}
		err = unix.MoveMount(int(tree.Fd()), "", unix.AT_FDCWD, place, unix.MOVE_MOUNT_F_EMPTY_PATH)
		tree.Close()
		if err != nil {
			return false, fmt.Errorf("take over the mount of process %d: %w", h.Pid, err)
		}
		return true, nil
	}
	return false, nil
}

// treeOf is a copy of the mount that h has; nil when h is gone. An error means that the way back failed.
func treeOf(h holder, own *os.File) (*os.File, error) {
	theirs, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", h.Pid))
	if err != nil || !procs.Alive(h.Pid, h.Start) {
		return nil, nil
	}
	defer theirs.Close()
	if unix.Setns(int(theirs.Fd()), unix.CLONE_NEWNS) != nil {
		return nil, nil
	}
	fd, treeErr := unix.OpenTree(unix.AT_FDCWD, h.Path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err := unix.Setns(int(own.Fd()), unix.CLONE_NEWNS); err != nil {
		return nil, fmt.Errorf("go back to the container's mount namespace: %w", err)
	}
	if treeErr != nil {
		return nil, nil
	}
	return os.NewFile(uintptr(fd), h.Path), nil
}

// isMountPoint tells whether something is mounted at path itself.
func isMountPoint(path string) bool {
	var here, above unix.Stat_t
	if unix.Lstat(path, &here) != nil || unix.Lstat(filepath.Dir(path), &above) != nil {
		return false
	}
	if here.Dev != above.Dev {
		return true
	}
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS, &st)
	return err == nil && st.Attributes_mask&st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

func isEmptyDir(path string) bool {
	entries, err := os.ReadDir(path)
	return err == nil && len(entries) == 0
}

// VolumeMount mounts a volume for the user and returns where. A volume without options always is where it is.
func (e *Engine) VolumeMount(ctx context.Context, name string) (place string, err error) {
	err = e.withVolume(ctx, name, func(rec *volumeRecord) error {
		v, err := parseVolumeOpts(rec.Volume.Options)
		if err != nil || v.fstype == "" {
			place = e.volumeData(name)
			return err
		}
		if err := v.checkRights(e.host().rootless); err != nil {
			return err
		}
		if place = e.volumePlace(name); isMountPoint(place) {
			return nil
		}
		if err := os.MkdirAll(place, 0o700); err != nil {
			return err
		}
		err = onOwnThread(func() error { return e.mountForUser(name, v, place) })
		faultpoint.Hit("volume.mounted")
		return err
	})
	return place, err
}

// mountForUser runs on a thread of its own, which it takes out of the others' common root: only such a one may look into
// another mount namespace.
func (e *Engine) mountForUser(name string, v volumeMount, place string) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return err
	}
	if v.fstype != "bind" {
		if shared, err := takeOver(e.volumeHolders(name), place); err != nil || shared {
			return err
		}
	}
	return v.mount(place)
}

// VolumeUnmount takes back VolumeMount. Containers that use the volume keep it.
func (e *Engine) VolumeUnmount(ctx context.Context, name string) error {
	return e.withVolume(ctx, name, func(*volumeRecord) error { return e.unmountVolume(name) })
}

// unmountVolume unmounts what VolumeMount mounted, and drops the note of who has it mounted once nobody has. The caller
// holds the volume's lock.
func (e *Engine) unmountVolume(name string) error {
	place := e.volumePlace(name)
	for isMountPoint(place) {
		if err := unix.Unmount(place, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmount volume %q: %w", name, err)
		}
	}
	if !e.volumes.Complete(name) || len(e.volumeHolders(name)) == 0 {
		dir := filepath.Dir(place) // nothing in it is removed recursively: something may be mounted below
		for _, path := range []string{e.holdersFile(name), filepath.Join(dir, ".holders.json.tmp"), place, dir} {
			os.Remove(path) // on tmpfs: what stays does no harm
		}
	}
	return nil
}

// unmountVolumes takes back every VolumeMount.
func (e *Engine) unmountVolumes() error {
	entries, err := os.ReadDir(e.dirs.VolumeRun())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		err = errors.Join(err, e.unmountVolume(entry.Name()))
	}
	return err
}

// withVolume runs fn on the volume, locked and with a killed import finished.
func (e *Engine) withVolume(ctx context.Context, name string, fn func(*volumeRecord) error) error {
	if err := checkVolumeName(name); err != nil {
		return err
	}
	err := e.volumes.WithLock(ctx, name, func() error {
		rec, err := e.loadVolume(name)
		if err != nil {
			return err
		}
		if err := e.finishImport(rec); err != nil {
			return err
		}
		return fn(rec)
	})
	if errors.Is(err, errdefs.ErrNotFound) && !e.volumes.Complete(name) {
		return e.unknownVolume(name)
	}
	return err
}

// volumePlaces checks for what is mounted of volumes that are gone.
func (k *checker) volumePlaces(context.Context) error {
	names, err := os.ReadDir(k.e.dirs.VolumeRun())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, entry := range names {
		name := entry.Name()
		if _, statErr := os.Lstat(k.e.volumes.Path(name)); checkVolumeName(name) != nil || !errors.Is(statErr, fs.ErrNotExist) {
			continue
		}
		k.report("volume "+name, "its place to mount is left, the volume is gone", func() error { return k.e.unmountVolume(name) })
	}
	return err
}
