package libpod

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/safepath"
)

const (
	zoneDir       = "/usr/share/zoneinfo"
	maxZone       = 1 << 20
	localtimeFile = "localtime"
)

// readZone reads the host's description of a time zone; local is that of the host itself.
func readZone(name string) ([]byte, error) {
	root, path := zoneDir, name
	if name == "local" {
		root, path = "/", "/etc/localtime"
	}
	data, err := safepath.ReadFileIn(root, path, maxZone)
	if err != nil || len(data) < 4 || string(data[:4]) != "TZif" {
		return nil, errdefs.New(errdefs.ErrNotFound, "--tz %s: this host knows no such time zone (timedatectl list-timezones shows them; they are in the package tzdata)", name)
	}
	return data, nil
}

// localtime writes the container's /etc/localtime into its run directory; empty: it keeps the image's.
func (s *startup) localtime() (string, error) {
	if s.c.Process.TZ == "" {
		return "", nil
	}
	data, err := readZone(s.c.Process.TZ)
	if err != nil {
		return "", err
	}
	path := filepath.Join(s.runDir, localtimeFile)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return "", fmt.Errorf("write %s: %w", localtimeFile, err)
	}
	return path, nil
}
