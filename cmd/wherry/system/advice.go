package system

import (
	"os"
	"path/filepath"
	"strconv"
)

// session is what decides how long an ordinary user's containers may live. root is / but in tests.
type session struct {
	root string
	user string
	uid  int
	run  string // the run directory
}

// advice says what keeps a user's containers from living on, one line each with what to do. Without systemd there is
// nothing to say: no session takes its processes along.
func (s session) advice() []string {
	lasting := "sudo loginctl enable-linger " + s.user
	switch {
	case !s.has("run/systemd/system"):
		return nil
	case !s.has(filepath.Join("run/user", strconv.Itoa(s.uid))):
		return []string{"no session of systemd runs for you, so there is no /run/user/" + strconv.Itoa(s.uid) + " and containers have no control group " +
			"of their own; run-time files are in " + s.run + " (log in by ssh or at the console, not by su or sudo; for good: " + lasting + ")"}
	case !s.has(filepath.Join("var/lib/systemd/linger", s.user)):
		return []string{"containers end when you log out, and do not start with the machine (" + lasting + ")"}
	}
	return nil
}

func (s session) has(path string) bool {
	_, err := os.Stat(filepath.Join(s.root, path))
	return err == nil
}
