package rootfs

import (
	"os"
	"path/filepath"

	"github.com/wherry-containers/wherry/pkg/layout"
)

// Skeleton returns a layer that goes below all others: it has the places that every container mounts something on. An
// image that lacks them would else get them in each container's own layer, as changes that nobody made. It is made once;
// where it cannot be, there is none ("") and the runtime makes those places.
func Skeleton(d layout.Dirs) string {
	dir := filepath.Join(d.Data, "skeleton-1")
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	work := filepath.Join(d.Data, "tmp")
	if os.MkdirAll(work, 0o700) != nil {
		return ""
	}
	made, err := os.MkdirTemp(work, "s-") // what a kill leaves here is swept with that of images
	if err != nil {
		return ""
	}
	defer os.RemoveAll(made)
	root := filepath.Join(made, "root")
	if fillSkeleton(root) != nil {
		return ""
	}
	if err := os.Rename(root, dir); err != nil && !os.IsExist(err) { // somebody else was quicker
		return ""
	}
	return dir
}

func fillSkeleton(root string) error {
	for _, dir := range []string{"", "dev", "etc", "proc", "sys"} {
		path := filepath.Join(root, dir)
		if err := os.Mkdir(path, 0o755); err != nil {
			return err
		}
		if err := os.Chmod(path, 0o755); err != nil { // whatever the umask
			return err
		}
	}
	for _, name := range []string{"hostname", "hosts", "resolv.conf"} {
		path := filepath.Join(root, "etc", name)
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			return err
		}
		if err := os.Chmod(path, 0o644); err != nil {
			return err
		}
	}
	return nil
}
