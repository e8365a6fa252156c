package rootfs

import (
	"encoding/binary"
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// opaque says that the layer's directory hides the one of the same name below.
func opaque(dir string) bool {
	buf := make([]byte, 1)
	for _, name := range []string{"user.overlay.opaque", "trusted.overlay.opaque", "user.fuseoverlayfs.opaque"} {
		if n, err := unix.Lgetxattr(dir, name, buf); err == nil && n == 1 && buf[0] == 'y' {
			return true
		}
	}
	_, err := os.Lstat(dir + "/.wh..wh..opq")
	return err == nil
}

// copyAttributes copies the extended attributes but those that only mean something to overlay itself.
func copyAttributes(src, dst string, m *Mapping) error {
	names, err := listAttributes(src)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, "user.overlay.") || strings.HasPrefix(name, "trusted.overlay.") ||
			strings.HasPrefix(name, "user.fuseoverlayfs.") || name == "security.selinux" {
			continue
		}
		value, err := readAttribute(src, name)
		if errors.Is(err, unix.ENODATA) {
			continue
		}
		if err != nil {
			return &os.PathError{Op: "read attribute " + name, Path: src, Err: err}
		}
		if name == "security.capability" && m != nil {
			value = capabilityFor(value, m)
		}
		err = unix.Lsetxattr(dst, name, value, 0)
		if err != nil && !ignorable(name, err) {
			return &os.PathError{Op: "set attribute " + name, Path: dst, Err: err}
		}
	}
	return nil
}

// ignorable: trusted.* belong to the real root, and a file system may have no attributes at all. Losing a file
// capability would break the program, so that is an error.
func ignorable(name string, err error) bool {
	if strings.HasPrefix(name, "trusted.") {
		return errors.Is(err, unix.EPERM)
	}
	return errors.Is(err, unix.EOPNOTSUPP) && name != "security.capability"
}

func listAttributes(path string) ([]string, error) {
	for size := 256; ; size *= 4 {
		buf := make([]byte, size)
		n, err := unix.Llistxattr(path, buf)
		switch {
		case errors.Is(err, unix.ERANGE) && size < 1<<20:
			continue
		case errors.Is(err, unix.EOPNOTSUPP):
			return nil, nil
		case err != nil:
			return nil, &os.PathError{Op: "list attributes", Path: path, Err: err}
		case n == 0:
			return nil, nil
		}
		return strings.Split(strings.TrimRight(string(buf[:n]), "\x00"), "\x00"), nil
	}
}

func readAttribute(path, name string) ([]byte, error) {
	for size := 256; ; size *= 4 {
		buf := make([]byte, size)
		n, err := unix.Lgetxattr(path, name, buf)
		if errors.Is(err, unix.ERANGE) && size < 1<<20 {
			continue
		}
		if err != nil {
			return nil, err
		}
		return buf[:n], nil
	}
}

// capabilityFor ties file capabilities to the root of the container's user namespace (revision 3 of linux/capability.h's
// vfs_cap_data: revision 2 followed by the root's id).
func capabilityFor(value []byte, m *Mapping) []byte {
	const size2, revision2, revision3, revisionMask = 20, 0x02000000, 0x03000000, 0xff000000
	if len(value) < size2 {
		return value
	}
	magic := binary.LittleEndian.Uint32(value)
	rootID := 0
	switch {
	case magic&revisionMask == revision3 && len(value) == size2+4:
		rootID = int(binary.LittleEndian.Uint32(value[size2:]))
	case magic&revisionMask != revision2:
		return value
	}
	shifted, ok := shiftID(m.UIDs, rootID)
	if !ok {
		return value
	}
	out := append([]byte{}, value[:size2]...)
	binary.LittleEndian.PutUint32(out, magic&^revisionMask|revision3)
	return binary.LittleEndian.AppendUint32(out, uint32(shifted))
}
