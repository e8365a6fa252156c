package container

import (
	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod/values"
)

// namespaceFlags are those about namespaces and what belongs to one.
func (w *wish) namespaceFlags() []cli.Flag {
	n, s := &w.Config.Namespaces, &w.Config.Security
	mode := func(p *string, name, usage string, more ...string) *cmdkit.Flag {
		return cmdkit.Func(name, usage, func(text string) (err error) {
			*p, err = values.Namespace(text, more...)
			return err
		})
	}
	sysctl := func(text string) error {
		name, value, err := values.Sysctl(text)
		if n.Sysctls == nil {
			n.Sysctls = map[string]string{}
		}
		n.Sysctls[name] = value
		return err
	}
	return []cli.Flag{
		cmdkit.Func("domainname", "NIS domain `NAME` of the container", func(text string) error { return sysctl("kernel.domainname=" + text) }),
		cmdkit.Strings(&w.IDs.GIDMap, "gidmap", "Map group ids: `[+g]CONTAINER:[@]HOST[:SIZE]`"),
		mode(&n.IPC, "ipc", "IPC namespace and /dev/shm: `private|shareable|none|host|container:NAME|ns:PATH`", "private", "shareable", "none"),
		mode(&n.PID, "pid", "Process namespace: `private|host|container:NAME|ns:PATH`"),
		cmdkit.String(&w.IDs.SubGIDName, "subgidname", "Map the group ids that /etc/subgid gives to `NAME`"),
		cmdkit.String(&w.IDs.SubUIDName, "subuidname", "Map the user ids that /etc/subuid gives to `NAME`"),
		cmdkit.Func("sysctl", "Kernel setting `NAME=VALUE` of a namespace of its own, as net.core.somaxconn=1024", sysctl),
		cmdkit.Strings(&w.IDs.UIDMap, "uidmap", "Map user ids: `[+u]CONTAINER:[@]HOST[:SIZE]`; for groups too unless --gidmap is given"),
		cmdkit.Func("userns", "User namespace: `host|private|keep-id[:uid=N,gid=N,size=N]|nomap|auto[:size=N]|container:NAME|ns:PATH`", func(text string) (err error) {
			s.UserNS, err = values.UserNS(text)
			return err
		}),
		mode(&n.UTS, "uts", "Namespace of the host name: `private|host|container:NAME|ns:PATH`"),
	}
}

// setupFlags are those about what wherry puts around the command: accounts, time zone, init processes.
func (w *wish) setupFlags() []cli.Flag {
	a, p := &w.Config.Accounts, &w.Config.Process
	passwd := cmdkit.Func("passwd", "Add the user to the container's /etc/passwd and /etc/group", func(text string) (err error) {
		a.Off, err = notTrue(text)
		return err
	})
	passwd.Bool, passwd.Default = true, "true"
	return []cli.Flag{
		cmdkit.String(&a.Group, "group-entry", "`LINE` for the group in /etc/group; $GROUPNAME, $GID and $USERLIST are filled in"),
		cmdkit.Strings(&a.HostUsers, "hostuser", "Add the host's `USER` to /etc/passwd and /etc/group"),
		cmdkit.String(&p.InitPath, "init-path", "`FILE` of the init process that --init runs"),
		passwd,
		cmdkit.String(&a.Passwd, "passwd-entry", "`LINE` for the user in /etc/passwd; $USERNAME, $UID, $GID, $NAME and $HOME are filled in"),
		cmdkit.Func("shm-size-systemd", "`SIZE` of each tmpfs of --systemd", func(text string) (err error) {
			w.Systemd.Size, err = values.Bytes(text)
			return err
		}),
		checked(&w.Systemd.Mode, "systemd", "Give a systemd what it wants: `true|false|always`", func(text string) error {
			return values.OneOf(text, "true", "false", "always")
		}),
		checked(&p.TZ, "tz", "Time zone by `NAME`, as Europe/Berlin, or local", values.TimeZone),
	}
}

func notTrue(text string) (bool, error) {
	if text == "true" {
		return false, nil
	}
	return true, values.OneOf(text, "true", "false")
}

// finishNamespaces settles what these flags say about each other.
func (w *wish) finishNamespaces() error {
	cfg := &w.Config
	if cfg.Hostname != "" && cfg.Namespaces.UTS != "" {
		return cmdkit.Usagef("--hostname and --uts %s do not go together: the host name is another's", cfg.Namespaces.UTS)
	}
	if cfg.Process.InitPath != "" && !cfg.Process.Init {
		return cmdkit.Usagef("--init-path needs --init")
	}
	if a := cfg.Accounts; a.Off && (a.Passwd != "" || a.Group != "" || len(a.HostUsers) > 0) {
		return cmdkit.Usagef("--passwd=false does not go with --passwd-entry, --group-entry and --hostuser")
	}
	return nil
}
