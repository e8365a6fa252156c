package rootless

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

func unsupported(format string, args ...any) error {
	return errdefs.New(errdefs.ErrUnsupported, format, args...)
}

// missing is the error for what a full mapping needs and is not there, or nil.
func (p probe) missing() error {
	for _, t := range []struct {
		name string
		tool tool
	}{{"newuidmap", p.NewUIDMap}, {"newgidmap", p.NewGIDMap}} {
		if t.tool.Path == "" {
			return unsupported("%s is not installed (sudo apt install uidmap, or set WHERRY_SINGLE_ID=1 to map only your own id)", t.name)
		}
	}
	var files []string
	if len(p.SubUIDs) == 0 {
		files = append(files, "/etc/subuid")
	}
	if len(p.SubGIDs) == 0 {
		files = append(files, "/etc/subgid")
	}
	if len(files) == 0 {
		return nil
	}
	return unsupported("no subordinate ids for user %s in %s (%s, or set WHERRY_SINGLE_ID=1 to map only your own id)",
		p.User, strings.Join(files, " and "), p.usermod())
}

// usermod is the command that gives the user the ids that are missing, in a range that is free in both files.
func (p probe) usermod() string {
	free := freeRange(p.Taken)
	ids := fmt.Sprintf("%d-%d", free.Start, free.Start+free.Length-1)
	command := "sudo usermod"
	if len(p.SubUIDs) == 0 {
		command += " --add-subuids " + ids
	}
	if len(p.SubGIDs) == 0 {
		command += " --add-subgids " + ids
	}
	return command + " " + p.User
}

// diagnoseClone explains why the namespaces could not be made.
func diagnoseClone(p probe, err error) error {
	switch {
	case !p.UserNamespaces:
		return unsupported("this kernel has no user namespaces (boot one with CONFIG_USER_NS=y, or run wherry as root)")
	case p.UnprivUserNS == 0:
		return unsupported("user namespaces are disabled for users (sudo sysctl -w kernel.unprivileged_userns_clone=1)")
	case p.MaxUserNS == 0:
		return unsupported("user namespaces are disabled (sudo sysctl -w user.max_user_namespaces=15000)")
	case p.MaxMountNS == 0:
		return unsupported("mount namespaces are disabled (sudo sysctl -w user.max_mnt_namespaces=15000)")
	case p.AppArmor == 1:
		return p.appArmor()
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EUSERS):
		return unsupported("the limit of user namespaces is reached (raise it: sudo sysctl -w user.max_user_namespaces=%d)", max(2*p.MaxUserNS, 15000))
	case errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES):
		return unsupported("making a user namespace is not permitted: a container or sandbox around this process forbids it (run wherry outside of it, or allow clone and unshare in its seccomp profile): %v", err)
	case errors.Is(err, syscall.EINVAL):
		return unsupported("an emulator such as qemu-user cannot make a user namespace (run a wherry built for this machine once, and the emulated one joins it): %v", err)
	}
	return fmt.Errorf("make a user namespace: %w", err)
}

func (p probe) appArmor() error {
	return unsupported("AppArmor restricts user namespaces (sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for %s with the rule \"userns,\")", p.Exe)
}

// diagnoseMapping explains why the ids could not be mapped.
func diagnoseMapping(p probe, err error) error {
	for _, t := range []tool{p.NewUIDMap, p.NewGIDMap} {
		switch {
		case t.Path == "":
			continue
		case !t.Privileged:
			return unsupported("%s is neither setuid root nor has file capabilities (sudo apt install --reinstall uidmap, or sudo chmod u+s %s)", t.Path, t.Path)
		case t.NoSuid:
			return unsupported("%s lies on a file system mounted nosuid (mount it with suid, or set WHERRY_SINGLE_ID=1)", t.Path)
		}
	}
	switch {
	case p.NoNewPrivs:
		return unsupported("no_new_privs is set on this process, so newuidmap cannot work (in a systemd unit: NoNewPrivileges=no)")
	case p.AppArmor == 1:
		return p.appArmor()
	}
	return fmt.Errorf("map the user's ids (check the lines of %s in /etc/subuid and /etc/subgid): %w", p.User, err)
}

// hint is what may explain a namespace that exists and cannot be joined.
func hint(p probe) string {
	if p.AppArmor == 1 {
		return " (AppArmor restricts user namespaces: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0)"
	}
	return " (a sandbox around this process may forbid setns; run wherry outside of it)"
}
