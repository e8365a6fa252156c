package libpod

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// SystemdWish is --systemd and what belongs to it.
type SystemdWish struct {
	Mode string // true or empty: when the command is one; always; false
	Size int64  // bytes of each tmpfs; 0: no bound of its own
}

// isSystemd knows the commands that are taken for a systemd, as Podman does.
func isSystemd(args []string) bool {
	if len(args) == 0 {
		return false
	}
	return path.Base(args[0]) == "systemd" || slices.Contains([]string{"/sbin/init", "/usr/sbin/init", "/usr/local/sbin/init"}, args[0])
}

// apply gives a container that runs systemd what that wants: its stop signal, and tmpfs where it writes.
func (w SystemdWish) apply(cfg *record.Config) error {
	switch w.Mode {
	case "", "true":
		if !isSystemd(cfg.Process.Args()) {
			return nil
		}
	case "always":
	case "false":
		return nil
	default:
		return errdefs.New(errdefs.ErrInvalid, "--systemd %s: it is true, false or always", w.Mode)
	}
	cfg.Process.Systemd = true
	cfg.Lifecycle.StopSignal = firstOf(cfg.Lifecycle.StopSignal, "SIGRTMIN+3")
	for _, target := range []string{"/run", "/run/lock", "/tmp", "/var/log/journal"} {
		if slices.ContainsFunc(cfg.Mounts, func(m record.Mount) bool { return m.Target == target }) {
			continue
		}
		m := record.Mount{Type: "tmpfs", Target: target, Options: []string{"exec"}}
		if strings.HasSuffix(target, "tmp") {
			m.Options = append(m.Options, "mode=1777")
		}
		if w.Size > 0 {
			m.Options = append(m.Options, "size="+strconv.FormatInt(w.Size, 10))
		}
		cfg.Mounts = append(cfg.Mounts, m)
	}
	return nil
}
