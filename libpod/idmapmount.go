package libpod

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/idmap"
	"github.com/wherry-containers/wherry/pkg/rootfs"
)

// idMapped mounts source at a place of ours, its owners shown through the mapping that m asks for. The runtime could do
// it too, but not each, and not with each kind of mapping.
func (s *startup) idMapped(m record.Mount, source string) (string, error) {
	mapping, err := s.mountMapping(m)
	if err != nil {
		return "", errdefs.New(errdefs.ErrInvalid, "option idmap of the mount at %q: %v", m.Target, err)
	}
	info, err := os.Stat(source)
	if err != nil {
		return "", err
	}
	place, err := s.newPlace(info.IsDir())
	if err != nil {
		return "", err
	}
	err = rootfs.BindMapped(source, place, mapping)
	switch {
	case errors.Is(err, unix.EPERM):
		return "", errdefs.New(errdefs.ErrUnsupported, "option idmap of the mount at %q: the kernel lets only root map the ids of this file system (use the option U, which changes the owners)", m.Target)
	case errors.Is(err, unix.EINVAL):
		return "", errdefs.New(errdefs.ErrUnsupported, "option idmap of the mount at %q: the file system of %q cannot be mapped (use the option U, which changes the owners)", m.Target, source)
	}
	return place, err
}

func (s *startup) mountMapping(m record.Mount) (mapping rootfs.Mapping, err error) {
	if m.IDMap == "own" {
		if s.ids == nil {
			return mapping, errors.New("the container has no user namespace of its own (--userns auto, or say idmap=uids=0-1000-1;gids=0-1000-1)")
		}
		return *s.ids, nil
	}
	wished, err := idmap.ParseMount(m.IDMap)
	if err != nil {
		return mapping, err
	}
	mapping = rootfs.Mapping{UIDs: wished.UIDs, GIDs: wished.GIDs}
	if s.ids != nil && wished.UIDsRelative {
		if mapping.UIDs, err = idmap.Through(wished.UIDs, s.ids.UIDs); err != nil {
			return mapping, err
		}
	}
	if s.ids != nil && wished.GIDsRelative {
		mapping.GIDs, err = idmap.Through(wished.GIDs, s.ids.GIDs)
	}
	return mapping, err
}
