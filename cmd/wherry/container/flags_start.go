package container

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod/values"
	"golang.org/x/sys/unix"
)

// startFlags are what goes with each start of the container, and Docker's and Podman's that wherry will not have.
func (w *wish) startFlags() []cli.Flag {
	l := &w.Config.Lifecycle
	path := func(p *string) func(string) error {
		return func(s string) (err error) {
			if *p, err = filepath.Abs(s); err != nil {
				return err
			}
			if info, err := os.Stat(filepath.Dir(*p)); err != nil || !info.IsDir() {
				return fmt.Errorf("there is no directory %s", filepath.Dir(*p))
			}
			return unix.Access(filepath.Dir(*p), unix.W_OK)
		}
	}
	flags := []cli.Flag{
		cmdkit.Func("conmon-pidfile", "Write the pid of its monitor to `FILE`", path(&l.MonitorPIDFile)),
		cmdkit.Func("personality", "Execution domain: `LINUX|LINUX32`", func(s string) error {
			w.Config.Process.Personality = s
			return values.OneOf(s, "LINUX", "LINUX32")
		}),
		cmdkit.Func("pidfile", "Write the pid of its first process to `FILE`", path(&l.PIDFile)),
		cmdkit.Func("sdnotify", "Who tells systemd that it is ready: `container|conmon|ignore`; ignore if not given", func(s string) error {
			if s == "healthy" {
				return fmt.Errorf("its health is not told to systemd (container and conmon are there)")
			}
			l.SdNotify = map[string]string{"container": s, "conmon": s}[s]
			return values.OneOf(s, "container", "conmon", "ignore")
		}),
		cmdkit.Strings(&l.Requires, "requires", "Start `CONTAINER` before this one"),
		cmdkit.Func("seccomp-policy", "`default`: profiles in labels of images are not read", func(s string) error {
			if s == "image" {
				return fmt.Errorf("profiles in labels of images are not read (--security-opt seccomp=FILE takes one)")
			}
			return values.OneOf(s, "default")
		}),
	}
	for _, r := range []struct{ name, why string }{
		{"chrootdirs", "mount what the directory needs with -v, as -v /etc/resolv.conf:DIR/etc/resolv.conf"},
		{"permissive", "there is no such mode of SELinux here (--security-opt label=disable switches its labels off)"},
		{"rdt-class", "the kernel lets only root put processes into classes of resctrl"},
		{"rootfs", "a directory is no image (make one of it: tar -C DIR -c . | wherry import - NAME)"},
		{"storage-opt", "layers have no quota (--tmpfs DIR:size=SIZE bounds a directory)"},
		{"use-api-socket", "there is no service with a socket to hand in"},
	} {
		flags = append(flags, cmdkit.Refused(r.name, r.why)...)
	}
	return flags
}
