package hostfacts

import "golang.org/x/sys/unix"

const mqueueMagic = 0x19800202

// IsMqueue tells whether the file system of POSIX message queues is mounted at path.
func IsMqueue(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == mqueueMagic
}
