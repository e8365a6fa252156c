package libpod

import (
	"os"
	"path/filepath"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/spec"
)

// rootTarget is where the root file system is mounted, in a mount namespace that only the container's processes see.
// The root of a container whose user namespace lacks the user himself is a stranger to the user's own directories, which
// are often closed to others, and could not walk to a mount point below them: it gets one on an empty directory of the
// host that everybody can reach.
func (s *startup) rootTarget(in *spec.Input) (string, error) {
	own := filepath.Join(s.runDir, record.MergedDir)
	uids, _, err := spec.IDMappings(*in)
	known := func(m specs.LinuxIDMapping) bool { return m.HostID == 0 && m.Size > 0 }
	if err != nil || uids == nil || slices.ContainsFunc(uids, known) {
		return own, err
	}
	for _, dir := range []string{"/mnt", "/media", "/srv", "/var/opt", "/var/local", "/opt", "/usr/games", "/usr/local/games", "/usr/local/src"} {
		if isEmptyForAll(dir) && !s.mountsFrom(dir) {
			return dir, nil
		}
	}
	return own, nil
}

func isEmptyForAll(dir string) bool {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() || info.Mode()&0o001 == 0 {
		return false
	}
	entries, err := os.ReadDir(dir)
	return err == nil && len(entries) == 0
}

// mountsFrom tells whether the container mounts dir itself, which the root would hide.
func (s *startup) mountsFrom(dir string) bool {
	for _, m := range s.c.Mounts {
		if m.Type == "bind" && within(m.Source, dir) {
			return true
		}
	}
	return false
}
