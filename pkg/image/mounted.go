package image

import (
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// mounted tells whether `image mount` shows the image's files: its layers must stay then.
func (s *Session) mounted(id string) bool {
	var dir, parent unix.Stat_t
	path := s.cfg.Dirs.ImageMount(id)
	return unix.Lstat(path, &dir) == nil && unix.Lstat(filepath.Dir(path), &parent) == nil && dir.Dev != parent.Dev
}

func errMounted(name string) error {
	return errdefs.New(errdefs.ErrInUse, "image %s is mounted (wherry image unmount %s, inside of wherry unshare)", name, name)
}
