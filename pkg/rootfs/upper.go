package rootfs

import (
	"strings"

	"golang.org/x/sys/unix"
)

// FullCopy tells whether a driver's read-write layers hold the whole root and not only what differs from the image.
func FullCopy(driver string) bool { return driver == VFS }

// Whiteout tells whether an entry of a read-write layer says that a file of the layers below is gone, and which.
func Whiteout(name string, st *unix.Stat_t) (gone string, ok bool) {
	if st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0 {
		return name, true
	}
	return strings.CutPrefix(name, ".wh.")
}

// Opaque tells whether an open directory of a read-write layer hides the one of the same name below.
func Opaque(dir int) bool {
	buf := make([]byte, 1)
	for _, name := range []string{"user.overlay.opaque", "trusted.overlay.opaque", "user.fuseoverlayfs.opaque"} {
		if n, err := unix.Fgetxattr(dir, name, buf); err == nil && n == 1 && buf[0] == 'y' {
			return true
		}
	}
	return unix.Faccessat(dir, ".wh..wh..opq", unix.F_OK, unix.AT_SYMLINK_NOFOLLOW) == nil
}

// Bind shows at target what is mounted at source, which stays.
func Bind(source, target string) error { return bind(source, target, false) }
