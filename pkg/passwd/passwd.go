// Package passwd finds the user a container runs as in the root file system's own /etc/passwd and /etc/group.
package passwd

import (
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/safepath"
)

// maxFile bounds what is read of a file that the image's author controls.
const maxFile = 1 << 20

// maxID is the highest id accepted: the kernel's ids are unsigned, but the runtime specification's tools and
// Docker stop here.
const maxID = 1<<31 - 1

// User is who the first process runs as.
type User struct {
	UID, GID uint32
	Groups   []uint32 // supplementary groups, without GID, sorted
	Home     string   // never empty: / where nothing is known
	Name     string   // empty for a number without an entry
}

// Resolve reads user ("", name, uid, name:group, uid:gid, in any mixture) in the root file system at root by
// Docker's rules. A number needs no entry; a name does. Supplementary groups come from /etc/group where no group
// was given. groupAdd holds names and numbers of further groups. An unknown name is ErrNotFound.
func Resolve(root, user string, groupAdd []string) (User, error) {
	accounts, err := read(root, "/etc/passwd", parsePasswd)
	if err != nil {
		return User{}, err
	}
	var groups []group
	if needsGroups(user, groupAdd) {
		if groups, err = read(root, "/etc/group", parseGroup); err != nil {
			return User{}, err
		}
	}
	return resolve(accounts, groups, user, groupAdd)
}

// needsGroups is false only for the plain uid:gid form, which is worth not reading a file for.
func needsGroups(user string, groupAdd []string) bool {
	_, g, ok := strings.Cut(user, ":")
	_, isNumber, _ := number(g)
	return !ok || !isNumber || slices.ContainsFunc(groupAdd, func(s string) bool {
		_, isNumber, _ := number(s)
		return !isNumber
	})
}

func read[T any](root, path string, parse func([]byte) []T) ([]T, error) {
	data, err := safepath.ReadFileIn(root, path, maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return nil, nil
	case err != nil:
		return nil, errdefs.New(errdefs.ErrInvalid, "the image's %s cannot be read: %v (give a numeric user and group, or mend the image)", path, err)
	}
	return parse(data), nil
}

func resolve(accounts []account, groups []group, user string, groupAdd []string) (User, error) {
	who, grp, hasGroup := strings.Cut(user, ":")
	u, entry, err := findUser(accounts, who)
	if err != nil {
		return User{}, err
	}
	var extra []uint32
	switch {
	case hasGroup && grp != "":
		if u.GID, err = findGroup(groups, grp); err != nil {
			return User{}, err
		}
	case entry:
		extra = memberships(groups, u.Name)
	}
	for _, g := range groupAdd {
		gid, err := findGroup(groups, g)
		if err != nil {
			return User{}, err
		}
		extra = append(extra, gid)
	}
	slices.Sort(extra)
	extra = slices.DeleteFunc(slices.Compact(extra), func(g uint32) bool { return g == u.GID })
	u.Groups = extra
	return u, nil
}

// findUser resolves the user part; entry tells whether /etc/passwd has it.
func findUser(accounts []account, who string) (u User, entry bool, err error) {
	// A name wins over a number, as in Docker: a user may be called "1000".
	if i := slices.IndexFunc(accounts, func(a account) bool { return a.name == who }); i >= 0 {
		return accounts[i].user(), true, nil
	}
	uid, isNumber, err := number(who)
	if err != nil {
		return User{}, false, err
	}
	if who == "" {
		uid, isNumber = 0, true
	}
	if i := slices.IndexFunc(accounts, func(a account) bool { return isNumber && a.uid == uid }); i >= 0 {
		return accounts[i].user(), true, nil
	}
	if !isNumber {
		return User{}, false, errdefs.New(errdefs.ErrNotFound, "user %q is not in the image's /etc/passwd (use a numeric id)", who)
	}
	return User{UID: uid, Home: "/"}, false, nil
}

func (a account) user() User {
	return User{UID: a.uid, GID: a.gid, Home: homeOr(a.home), Name: a.name}
}

func homeOr(home string) string {
	if !strings.HasPrefix(home, "/") {
		return "/"
	}
	return home
}

func findGroup(groups []group, name string) (uint32, error) {
	for _, g := range groups {
		if g.name == name {
			return g.gid, nil
		}
	}
	gid, isNumber, err := number(name)
	if err != nil {
		return 0, err
	}
	if !isNumber {
		return 0, errdefs.New(errdefs.ErrNotFound, "group %q is not in the image's /etc/group (use a numeric id)", name)
	}
	return gid, nil
}

func memberships(groups []group, user string) []uint32 {
	var gids []uint32
	for _, g := range groups {
		if slices.Contains(g.members, user) {
			gids = append(gids, g.gid)
		}
	}
	return gids
}

// number reads an id. A number that no id can have is an error, any other text is not a number.
func number(s string) (id uint32, ok bool, err error) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false, nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > maxID {
		return 0, false, errdefs.New(errdefs.ErrInvalid, "id %s is out of range (0 to %d)", s, maxID)
	}
	return uint32(n), true, nil
}
