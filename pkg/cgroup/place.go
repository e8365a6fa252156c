package cgroup

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/systemd"
)

const (
	scopeName   = "wherry.scope"
	monitorsDir = "monitors" // below the scope: a group that has groups below must not have processes of its own
)

// Monitors opens the group of the monitors, for a process to be started right into it: that is far quicker than to move
// it. It is nil where there is none, or none yet, or we may not: then Place does it.
func (f Facts) Monitors() *os.File {
	path := f.MonitorsPath()
	if path == "" {
		return nil
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	return os.NewFile(uintptr(fd), path)
}

// MonitorsPath is where Monitors looks; empty: nowhere.
func (f Facts) MonitorsPath() string {
	if f.Slice == "" || f.Outside || f.stay {
		return ""
	}
	return filepath.Join(Root, f.Base, monitorsDir)
}

// attempts bounds how often Place tries again when the scope comes or goes at this very moment.
const attempts = 10

// Place moves a process of ours among the monitors in the delegated scope, and asks systemd for the scope if that is not
// there. Where systemd does not run it does nothing.
func (f Facts) Place(pid int) error {
	if f.divided {
		return f.divide(pid)
	}
	if f.Slice == "" {
		return nil
	}
	var err error
	for try := range attempts {
		if try > 0 {
			time.Sleep(time.Duration(try) * 10 * time.Millisecond)
		}
		if err = f.place(pid); err == nil {
			return f.comeBack(pid)
		}
		if unix.Kill(pid, 0) == unix.ESRCH {
			break
		}
	}
	return fmt.Errorf("make control group %s: %w", f.Base, err)
}

// comeBack moves a monitor that is to stay where it was: it made the scope by being there.
func (f Facts) comeBack(pid int) error {
	if !f.stay {
		return nil
	}
	return write(filepath.Join(Root, f.Own), "cgroup.procs", strconv.Itoa(pid))
}

// scopeUnit is the name of the delegated scope.
func (f Facts) scopeUnit() string { return cmp.Or(f.scope, scopeName) }

func (f Facts) place(pid int) error {
	monitors := filepath.Join(Root, f.Base, monitorsDir)
	err := write(monitors, "cgroup.procs", strconv.Itoa(pid))
	if err == nil {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		err = f.systemd.StartScope(f.scopeUnit(), f.Slice, "wherry's containers", pid)
		if err == nil {
			return f.settleIn(monitors, pid)
		}
		if !errors.Is(err, systemd.ErrExists) {
			return err
		}
	}
	return f.systemd.Attach(f.scopeUnit(), "/"+monitorsDir, pid)
}

// settleIn waits until the new scope holds the process, and moves that out of the way of the controllers.
func (f Facts) settleIn(monitors string, pid int) error {
	scope, want := filepath.Dir(monitors), strconv.Itoa(pid)
	for end := time.Now().Add(settle); !slices.Contains(words(filepath.Join(scope, "cgroup.procs")), want); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("systemd did not start %s within %v", f.scopeUnit(), settle)
		}
	}
	if err := unix.Mkdir(monitors, 0o755); err != nil && err != unix.EEXIST {
		return err
	}
	return write(monitors, "cgroup.procs", want)
}

// Scope is the unit that systemd delegates to us; nil where that does not run.
func (f Facts) Scope() *systemd.Unit {
	if f.Slice == "" {
		return nil
	}
	return &systemd.Unit{Manager: f.systemd, Name: f.scopeUnit()}
}

// Placed tells whether the process is in the delegated scope, or there is no need to be.
func (f Facts) Placed(pid int) bool {
	return f.Slice == "" || clean(ownPaths(fmt.Sprintf("/proc/%d/cgroup", pid))[""]) == filepath.Join(f.Base, monitorsDir)
}
