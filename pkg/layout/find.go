package layout

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/realuser"
)

// Find returns the directories of the user outside, also when called inside the user namespace. It makes none.
//
// Data is $WHERRY_DATA, else $XDG_DATA_HOME/wherry, else ~/.local/share/wherry; of root /var/lib/wherry.
// Run is described at RunDir. Libexec is $WHERRY_LIBEXEC, else found from the place of the binary.
func Find(getenv func(string) string) (Dirs, error) {
	run, err := RunDir(getenv)
	if err != nil {
		return Dirs{}, err
	}
	data, err := dataDir(getenv)
	if err != nil {
		return Dirs{}, err
	}
	libexec, err := libexecDir(getenv)
	if err != nil {
		return Dirs{}, err
	}
	return Dirs{Data: data, Run: run, Libexec: libexec}, nil
}

// RunDir returns the run directory of the user outside: $WHERRY_RUN, else $XDG_RUNTIME_DIR/wherry if
// $XDG_RUNTIME_DIR is an absolute path of a directory of the user's own (after su and sudo it is often not), else
// /run/user/UID/wherry if /run/user/UID is such a directory, else /tmp/wherry-run-UID, which must be the user's
// own and closed to others. Of root it is /run/wherry. The stub in pkg/rootless/join follows the same order; the
// two change together.
func RunDir(getenv func(string) string) (string, error) {
	if dir := getenv("WHERRY_RUN"); dir != "" {
		return absolute("WHERRY_RUN", dir)
	}
	if isRoot() {
		return "/run/wherry", nil
	}
	uid := strconv.Itoa(realuser.UID())
	for _, parent := range []string{getenv("XDG_RUNTIME_DIR"), "/run/user/" + uid} {
		if filepath.IsAbs(parent) && isOwnDir(parent) {
			return filepath.Join(parent, "wherry"), nil
		}
	}
	dir := "/tmp/wherry-run-" + uid
	return dir, checkPrivate(dir)
}

func isRoot() bool { return os.Geteuid() == 0 && !realuser.Inside() }

// isOwnDir compares with the effective user: inside the namespace the owner is seen as 0 too.
func isOwnDir(path string) bool {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

// checkPrivate refuses a directory in /tmp that somebody else could have put there.
func checkPrivate(dir string) error {
	info, err := os.Lstat(dir)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("run directory: %w", err)
	}
	if !info.IsDir() || !isOwnDir(dir) || info.Mode().Perm()&0o077 != 0 {
		return errdefs.New(errdefs.ErrInvalid, "run directory %s is not a directory of your own with mode 0700 (remove it, or set XDG_RUNTIME_DIR to a private directory)", dir)
	}
	return nil
}

func dataDir(getenv func(string) string) (string, error) {
	if dir := getenv("WHERRY_DATA"); dir != "" {
		return absolute("WHERRY_DATA", dir)
	}
	if isRoot() {
		return "/var/lib/wherry", nil
	}
	if dir := getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "wherry"), nil
	}
	home := getenv("HOME")
	if !filepath.IsAbs(home) {
		u, err := user.LookupId(strconv.Itoa(realuser.UID()))
		if err != nil || !filepath.IsAbs(u.HomeDir) {
			return "", errdefs.New(errdefs.ErrInvalid, "no home directory for user %d (set HOME)", realuser.UID())
		}
		home = u.HomeDir
	}
	return filepath.Join(home, ".local", "share", "wherry"), nil
}

// libexecDir finds the companions beside bin/wherry (bin/libexec/wherry), beside bin (PREFIX/libexec/wherry), or
// in the directory of a companion that asks.
func libexecDir(getenv func(string) string) (string, error) {
	if dir := getenv("WHERRY_LIBEXEC"); dir != "" {
		return absolute("WHERRY_LIBEXEC", dir)
	}
	exe, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the companion binaries: %w", err)
	}
	bin := filepath.Dir(exe)
	if filepath.Base(bin) == "wherry" && filepath.Base(filepath.Dir(bin)) == "libexec" {
		return bin, nil
	}
	beside := filepath.Join(bin, "libexec", "wherry")
	if _, err := os.Stat(beside); err == nil {
		return beside, nil
	}
	return filepath.Join(filepath.Dir(bin), "libexec", "wherry"), nil
}

func absolute(name, dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return abs, nil
}
