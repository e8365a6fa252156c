package rootfs

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// fsNames are the file systems people keep a home directory on.
var fsNames = map[uint32]string{
	unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs",
	unix.TMPFS_MAGIC: "tmpfs", unix.NFS_SUPER_MAGIC: "NFS", unix.ECRYPTFS_SUPER_MAGIC: "eCryptfs",
	unix.OVERLAYFS_SUPER_MAGIC: "overlay", unix.FUSE_SUPER_MAGIC: "FUSE", unix.V9FS_MAGIC: "9p",
	unix.SMB_SUPER_MAGIC: "SMB", 0xff534d42: "CIFS", 0xfe534d42: "SMB2", 0x2fc12fc1: "ZFS",
	unix.MSDOS_SUPER_MAGIC: "FAT", unix.F2FS_SUPER_MAGIC: "F2FS", unix.AFS_SUPER_MAGIC: "AFS",
	unix.CEPH_SUPER_MAGIC: "Ceph", 0x0bd00bd0: "Lustre", 0xca451a4e: "bcachefs", 0x47504653: "GPFS",
	unix.RAMFS_MAGIC: "ramfs",
}

func fsType(path string) string {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil {
		return "unknown"
	}
	if name, ok := fsNames[uint32(st.Type)]; ok {
		return name
	}
	return fmt.Sprintf("%#x", uint32(st.Type))
}
