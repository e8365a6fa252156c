package libpod

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/spec"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/passwd"
	"github.com/wherry-containers/wherry/pkg/safepath"
)

// addAccounts adds the container's user to the /etc/passwd and /etc/group of its root where they lack him, as Podman
// does, and the users of the host that were asked for. An image without these files stays without.
func (s *startup) addAccounts(in *spec.Input, who passwd.User) error {
	a := s.c.Accounts
	if a.Off {
		return nil
	}
	var people, groups []string
	if who.Name == "" {
		people = append(people, s.passwdLine(in, who))
	}
	if a.Group != "" || who.Name == "" && !passwd.HasGroup(in.Root, who.GID) {
		groups = append(groups, s.groupLine(who))
	}
	for _, name := range a.HostUsers {
		line, group, err := hostAccount(name)
		if err != nil {
			return err
		}
		people, groups = append(people, line), append(groups, group)
	}
	if err := appendLines(in.Root, "/etc/passwd", people); err != nil {
		return err
	}
	return appendLines(in.Root, "/etc/group", groups)
}

// passwdLine is --passwd-entry with its variables filled in, or Podman's line for a user without a name. Under keep-id
// the user has the name that he has outside.
func (s *startup) passwdLine(in *spec.Input, who passwd.User) string {
	uid, gid, name := strconv.Itoa(int(who.UID)), strconv.Itoa(int(who.GID)), ""
	if kept, _, ok := spec.KeepID(*in); ok && kept == who.UID {
		if u, err := user.LookupId(strconv.Itoa(s.e.host().uid)); err == nil {
			name = u.Username
		}
	}
	name = firstOf(name, uid)
	if text := s.c.Accounts.Passwd; text != "" {
		return strings.NewReplacer("$USERNAME", name, "$UID", uid, "$GID", gid, "$NAME", "container user", "$HOME", who.Home).Replace(text)
	}
	return strings.Join([]string{name, "*", uid, gid, "container user", who.Home, "/bin/sh"}, ":")
}

func (s *startup) groupLine(who passwd.User) string {
	gid, name := strconv.Itoa(int(who.GID)), who.Name
	if name == "" {
		name = strconv.Itoa(int(who.UID))
	}
	if text := s.c.Accounts.Group; text != "" {
		return strings.NewReplacer("$GROUPNAME", gid, "$GID", gid, "$USERLIST", name).Replace(text)
	}
	return strings.Join([]string{gid, "x", gid, name}, ":")
}

// hostAccount are the lines of a user of the host.
func hostAccount(name string) (line, group string, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		u, err = user.LookupId(name)
	}
	if err != nil {
		return "", "", errdefs.New(errdefs.ErrNotFound, "--hostuser %s: the host has no such user", name)
	}
	groupName := u.Username
	if g, err := user.LookupGroupId(u.Gid); err == nil {
		groupName = g.Name
	}
	return strings.Join([]string{u.Username, "*", u.Uid, u.Gid, strings.ReplaceAll(u.Name, ":", " "), u.HomeDir, "/bin/sh"}, ":"),
		strings.Join([]string{groupName, "x", u.Gid, ""}, ":"), nil
}

// appendLines adds to a file of the container's root the lines whose name it does not have yet. The path cannot lead out
// of the root.
func appendLines(root, path string, lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	f, err := safepath.OpenIn(root, path, os.O_RDWR|os.O_APPEND|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil
	} else if err != nil {
		return fmt.Errorf("add the user to %s: %w", path, err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return errdefs.New(errdefs.ErrInvalid, "the image's %s is no regular file (mend the image, or use --passwd=false)", path)
	}
	have, err := safepath.ReadFileIn(root, path, 1<<20)
	if err != nil {
		return fmt.Errorf("add the user to %s: %w", path, err)
	}
	var text strings.Builder
	if len(have) > 0 && have[len(have)-1] != '\n' {
		text.WriteByte('\n')
	}
	for _, line := range lines {
		name, _, _ := strings.Cut(line, ":")
		if !strings.HasPrefix(string(have), name+":") && !strings.Contains(string(have), "\n"+name+":") {
			text.WriteString(strings.TrimRight(line, "\n") + "\n")
		}
	}
	if _, err := f.WriteString(text.String()); err != nil {
		return fmt.Errorf("add the user to %s: %w", path, err)
	}
	return nil
}
