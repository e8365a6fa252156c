package libpod

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/spec"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// giveAway makes the container's user the owner of all that is mounted with the option U.
func giveAway(in *spec.Input, wished []record.Mount, list []specs.Mount) error {
	if !slices.ContainsFunc(wished, givesAway) {
		return nil
	}
	uids, gids, err := spec.IDMappings(*in)
	if err != nil {
		return err
	}
	uid, gid := outside(uids, in.User.UID), outside(gids, in.User.GID)
	for i, m := range wished {
		if !givesAway(m) || m.Type == "tmpfs" {
			continue
		}
		if err := chownTree(list[i].Source, uid, gid); err != nil {
			return errdefs.New(errdefs.ErrInvalid, "option U of the mount at %q: %v", m.Target, err)
		}
	}
	return nil
}

func givesAway(m record.Mount) bool { return slices.Contains(m.Options, "U") }

// ownVolume gives a fresh volume to the root of a container to whose user namespace its owner is a stranger.
func (s *startup) ownVolume(dir string) error {
	if s.ids == nil {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || hasOutside(s.ids.UIDs, st.Uid) && hasOutside(s.ids.GIDs, st.Gid) {
		return nil
	}
	return os.Chown(dir, outside(s.ids.UIDs, 0), outside(s.ids.GIDs, 0))
}

func hasOutside(mappings []specs.LinuxIDMapping, id uint32) bool {
	return slices.ContainsFunc(mappings, func(m specs.LinuxIDMapping) bool { return id >= m.HostID && id-m.HostID < m.Size })
}

// outside is the id in our user namespace of one in the container's.
func outside(mappings []specs.LinuxIDMapping, id uint32) int {
	for _, m := range mappings {
		if id >= m.ContainerID && id-m.ContainerID < m.Size {
			return int(m.HostID + id - m.ContainerID)
		}
	}
	return int(id)
}

// inner is the reverse of outside; an id that the container does not have becomes its root.
func inner(mappings []specs.LinuxIDMapping, id uint32) uint32 {
	if len(mappings) == 0 {
		return id
	}
	for _, m := range mappings {
		if id >= m.HostID && id-m.HostID < m.Size {
			return m.ContainerID + id - m.HostID
		}
	}
	return 0
}

// chownTree changes the owner of path and, without following links, of all below it. What has the owner already is not
// touched: chown takes set-user-id bits away.
func chownTree(path string, uid, gid int) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return os.Chown(path, uid, gid)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := root.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a container that also has the mount removed it
		} else if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) == uid && int(st.Gid) == gid {
			return nil
		}
		return root.Lchown(name, uid, gid)
	})
}
