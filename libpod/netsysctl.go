package libpod

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/spec"
)

// setNetSysctls sets those of the network in a namespace that is ours: a container with a user namespace of its own is
// not its owner, and its runtime could not.
func (s *startup) setNetSysctls(in *spec.Input) error {
	if in.NetworkPath == "" {
		return nil
	}
	wished := map[string]string{}
	for name, value := range s.c.Namespaces.Sysctls {
		if strings.HasPrefix(name, "net.") {
			wished[name] = value
		}
	}
	if len(wished) == 0 {
		return nil
	}
	netns, err := os.Open(in.NetworkPath)
	if err != nil {
		return err
	}
	defer netns.Close()
	return onOwnThread(func() error {
		if err := unix.Setns(int(netns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter the container's network: %w", err)
		}
		for name, value := range wished {
			path := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return fmt.Errorf("--sysctl %s: %w", name, err)
			}
			_, err = f.WriteString(value)
			f.Close()
			if err != nil {
				return fmt.Errorf("--sysctl %s=%s: %w", name, value, err)
			}
		}
		return nil
	})
}
