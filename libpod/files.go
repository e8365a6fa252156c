package libpod

import (
	"os"
	"path/filepath"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/layout"
)

const (
	hostsFile    = "hosts"
	hostnameFile = "hostname"
	resolvFile   = "resolv.conf"
)

// findInit returns the init process for --init: the one asked for, ours, or one that is installed.
func findInit(d layout.Dirs, asked string) (string, error) {
	if asked != "" {
		if info, err := os.Stat(asked); err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			return "", errdefs.New(errdefs.ErrNotFound, "--init-path %s: it is no program on this host (leave it out for wherry's own init process)", asked)
		}
		return asked, nil
	}
	own := filepath.Join(d.Libexec, "wherry-init")
	for _, path := range []string{own, "/usr/bin/catatonit", "/usr/libexec/podman/catatonit", "/usr/libexec/catatonit/catatonit", "/usr/bin/tini-static", "/usr/bin/docker-init", "/usr/libexec/docker/docker-init"} {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", errdefs.New(errdefs.ErrUnsupported, "--init needs an init process on the host (sudo apt install catatonit)")
}
