package libpod

import (
	"errors"
	"io/fs"
	"os"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// isDockerSocket tells whether a mount's source is where Docker's daemon listens.
func isDockerSocket(path string) bool {
	return path == "/var/run/docker.sock" || path == "/run/docker.sock"
}

// dockerSocket is the source of a mount of Docker's socket: itself where there is one, else that of the user's service, so
// that containers which look after containers (Traefik, for one) find it where they expect it.
func (e *Engine) dockerSocket(m record.Mount) (string, error) {
	if _, err := os.Lstat(m.Source); !errors.Is(err, fs.ErrNotExist) {
		return m.Source, nil
	}
	own := e.dirs.Socket()
	if _, err := os.Lstat(own); err != nil {
		return "", errdefs.New(errdefs.ErrNotFound, "there is no %s here, and no service of yours at %s that could take its place (systemctl --user enable --now wherry.socket, or: wherry system service --time 0)", m.Source, own)
	}
	return own, nil
}
