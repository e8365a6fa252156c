package libpod

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"golang.org/x/sys/unix"
)

// volumeMount is what the options of a volume of the local driver say: what to mount for who uses it.
type volumeMount struct {
	fstype string // empty: nothing, the volume is a directory of ours; bind: device is a directory of the host
	device string
	flags  uintptr
	data   []string // of the file system
	uid    int      // owner of the volume's directory; -1: ours
	gid    int
	noCopy bool
}

// parseVolumeOpts reads Docker's options of the local driver: type, device, o; and Podman's way to write the rest.
func parseVolumeOpts(opts map[string]string) (volumeMount, error) {
	v := volumeMount{uid: -1, gid: -1, fstype: opts["type"], device: opts["device"]}
	for _, key := range slices.Sorted(maps.Keys(opts)) {
		switch key {
		case "type", "device", "o":
		case "size", "inodes":
			if err := v.option(key + "=" + opts[key]); err != nil {
				return v, err
			}
		case "copy", "nocopy":
			v.noCopy = key == "nocopy"
		default:
			return v, errdefs.New(errdefs.ErrInvalid, "the local volume driver has no option %q (type, device and o are)", key)
		}
	}
	for _, option := range strings.Split(opts["o"], ",") {
		if err := v.option(option); err != nil {
			return v, err
		}
	}
	return v, v.check()
}

// mountFlag is the flag of mount(2) that an option sets or clears; ok is false for those of a file system's own.
func mountFlag(option string) (flag uintptr, clears, ok bool) {
	switch option {
	case "", "defaults":
		return 0, false, true
	case "ro", "rw":
		return unix.MS_RDONLY, option == "rw", true
	case "noexec", "exec":
		return unix.MS_NOEXEC, option == "exec", true
	case "nosuid", "suid":
		return unix.MS_NOSUID, option == "suid", true
	case "nodev", "dev":
		return unix.MS_NODEV, option == "dev", true
	case "sync", "async":
		return unix.MS_SYNCHRONOUS, option == "async", true
	case "dirsync":
		return unix.MS_DIRSYNC, false, true
	case "noatime", "nodiratime", "relatime", "strictatime":
		return map[string]uintptr{"noatime": unix.MS_NOATIME, "nodiratime": unix.MS_NODIRATIME, "relatime": unix.MS_RELATIME, "strictatime": unix.MS_STRICTATIME}[option], false, true
	case "bind":
		return unix.MS_BIND, false, true
	case "rbind":
		return unix.MS_BIND | unix.MS_REC, false, true
	}
	return 0, false, false
}

// option takes one word of o.
func (v *volumeMount) option(option string) error {
	if flag, clears, ok := mountFlag(option); ok {
		if v.flags |= flag; clears {
			v.flags &^= flag
		}
		return nil
	}
	key, value, _ := strings.Cut(option, "=")
	switch {
	case option == "nocopy" || option == "copy":
		v.noCopy = option == "nocopy"
		return nil
	case option == "noquota":
		return nil // there is none
	case key == "uid" || key == "gid":
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil {
			return errdefs.New(errdefs.ErrInvalid, "volume option %s: %q is not an id", key, value)
		}
		if key == "uid" {
			v.uid = int(n)
		} else {
			v.gid = int(n)
		}
	}
	v.data = append(v.data, option)
	return nil
}

// check refuses what cannot be mounted, as far as that is known before it is.
func (v *volumeMount) check() error {
	bind := v.flags&unix.MS_BIND != 0 || v.fstype == "none" || v.fstype == "bind"
	switch {
	case bind:
		if !filepath.IsAbs(v.device) {
			return errdefs.New(errdefs.ErrInvalid, "volume option device=%q: a bind needs the absolute path of a directory (--opt device=DIR)", v.device)
		}
		if v.fstype != "" && v.fstype != "none" && v.fstype != "bind" {
			return errdefs.New(errdefs.ErrInvalid, "volume options type=%s and o=bind do not go together (use type=none)", v.fstype)
		}
		v.fstype, v.flags = "bind", v.flags|unix.MS_BIND
	case v.fstype == "" && v.device != "":
		return errdefs.New(errdefs.ErrInvalid, "volume option device=%s needs --opt type=TYPE, or --opt o=bind", v.device)
	case v.fstype == "":
		return v.checkPlain()
	case v.fstype == "tmpfs":
		v.device = "tmpfs"
	case v.device == "":
		return errdefs.New(errdefs.ErrInvalid, "volume option type=%s needs --opt device=DEVICE", v.fstype)
	}
	return nil
}

// checkPlain is for a volume that is a directory of ours.
func (v *volumeMount) checkPlain() error {
	for _, option := range v.data {
		key, _, _ := strings.Cut(option, "=")
		switch key {
		case "uid", "gid":
		case "size", "inodes":
			return errdefs.New(errdefs.ErrUnsupported, "volume option %s: a quota on a directory is not supported (use --opt type=tmpfs --opt o=size=SIZE, or a file system of that size)", option)
		default:
			return errdefs.New(errdefs.ErrInvalid, "volume option o=%s needs --opt type=TYPE, as tmpfs", option)
		}
	}
	if v.flags != 0 {
		return errdefs.New(errdefs.ErrInvalid, "the volume's option o needs --opt type=TYPE and --opt device=DEVICE (for :ro and its like, give them where the volume is mounted)")
	}
	return nil
}

// checkRights refuses the file systems that only root can mount.
func (v *volumeMount) checkRights(rootless bool) error {
	if !rootless || slices.Contains([]string{"", "bind", "tmpfs", "overlay"}, v.fstype) {
		return nil
	}
	return errdefs.New(errdefs.ErrUnsupported, "volume option type=%s: only root can mount that (have it mounted on the host, and use --opt o=bind --opt device=DIR)", v.fstype)
}

// mount mounts it at target, in the caller's mount namespace.
func (v *volumeMount) mount(target string) error {
	if v.fstype != "bind" {
		if err := unix.Mount(v.device, target, v.fstype, v.flags, strings.Join(v.data, ",")); err != nil {
			return fmt.Errorf("mount %s of type %s: %w", v.device, v.fstype, err)
		}
		return nil
	}
	if info, err := os.Stat(v.device); err != nil {
		return err
	} else if !info.IsDir() {
		return errdefs.New(errdefs.ErrInvalid, "device %q is not a directory", v.device)
	}
	if err := unix.Mount(v.device, target, "", v.flags&(unix.MS_BIND|unix.MS_REC), ""); err != nil {
		return fmt.Errorf("mount %s: %w", v.device, err)
	}
	rest := v.flags &^ (unix.MS_BIND | unix.MS_REC)
	if rest == 0 {
		return nil
	}
	if err := unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|rest|lockedFlags(target), ""); err != nil {
		unix.Unmount(target, unix.MNT_DETACH)
		return fmt.Errorf("mount %s with its options: %w", v.device, err)
	}
	return nil
}

// restrict gives m the restrictions of the volume's mount: the runtime, which mounts that one once more, knows only m's.
func (v *volumeMount) restrict(m *record.Mount) {
	m.ReadOnly = m.ReadOnly || v.flags&unix.MS_RDONLY != 0
	m.Options = slices.Clone(m.Options)
	for option, flag := range map[string]uintptr{"noexec": unix.MS_NOEXEC, "nosuid": unix.MS_NOSUID, "nodev": unix.MS_NODEV} {
		if v.flags&flag != 0 && !slices.Contains(m.Options, option) {
			m.Options = append(m.Options, option)
		}
	}
}

// lockedFlags are those that a user namespace must not take away from a mount it got from outside.
func lockedFlags(path string) uintptr {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil {
		return 0
	}
	return uintptr(st.Flags) & (unix.MS_RDONLY | unix.MS_NODEV | unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME | unix.MS_RELATIME)
}
