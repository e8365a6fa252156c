// Package steps keeps the run-time places of build steps: a directory each, locked by the process that runs the step, so
// that what a killed builder has left can be told from what is at work, and be cleared away by anybody.
package steps

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/cgroup"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/layout"
)

const (
	groupsFile = "groups"  // the directories of the step's control groups, a line each
	private    = "private" // where a file system is mounted that only the step's processes see
	idBytes    = 32
)

// Place is that of a step that this process runs.
type Place struct {
	ID   string // 64 hexadecimal digits
	dir  string
	lock *os.File
}

// Claim makes a place. It is this process' until it is released or the process ends.
func Claim(dirs layout.Dirs) (*Place, error) {
	if err := os.MkdirAll(dirs.Steps(), 0o700); err != nil {
		return nil, err
	}
	for {
		id := make([]byte, idBytes)
		rand.Read(id)
		p := &Place{ID: hex.EncodeToString(id)}
		p.dir = filepath.Join(dirs.Steps(), p.ID)
		if err := os.Mkdir(p.dir, 0o700); err != nil {
			return nil, err
		}
		faultpoint.Hit("step.dir")
		lock, err := tryLock(p.dir)
		if err != nil {
			return nil, err
		}
		if lock == nil {
			continue // somebody who clears away took it for a dead one's in this moment
		}
		p.lock = lock
		if err := os.Mkdir(p.Private(), 0o700); err == nil {
			faultpoint.Hit("step.claimed")
			return p, nil
		} else if lock.Close(); !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
}

// tryLock locks a directory; nil when it is locked, or gone.
func tryLock(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = nil
		}
		return nil, err
	}
	return f, nil
}

// Private is a directory for a mount.
func (p *Place) Private() string { return filepath.Join(p.dir, private) }

// Note writes down the control groups before they are made.
func (p *Place) Note(groups []string) error {
	if len(groups) == 0 {
		return nil
	}
	err := os.WriteFile(filepath.Join(p.dir, groupsFile), []byte(strings.Join(groups, "\n")+"\n"), 0o600)
	faultpoint.Hit("step.noted")
	return err
}

// Release ends the place and removes the control groups, and what should still run in them.
func (p *Place) Release() error {
	defer p.lock.Close()
	return clearAway(p.dir)
}

func clearAway(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, groupsFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for group := range strings.Lines(string(text)) {
		if group = strings.TrimSuffix(group, "\n"); strings.HasPrefix(filepath.Base(group), "wherry-") {
			if err := cgroup.Remove(group, true); err != nil {
				return err
			}
		}
	}
	return os.RemoveAll(dir)
}

// Left names the steps whose builder is dead.
func Left(dirs layout.Dirs) []string {
	entries, _ := os.ReadDir(dirs.Steps())
	var left []string
	for _, entry := range entries {
		if lock, err := tryLock(filepath.Join(dirs.Steps(), entry.Name())); err == nil && lock != nil {
			lock.Close()
			left = append(left, entry.Name())
		}
	}
	return left
}

// Clear removes what a dead builder's step has left; detach ends its part of networks. It is done when somebody else does
// it, or there is nothing.
func Clear(dirs layout.Dirs, id string, detach func(id string) error) error {
	dir := filepath.Join(dirs.Steps(), filepath.Base(id))
	lock, err := tryLock(dir)
	if err != nil || lock == nil {
		return err
	}
	defer lock.Close()
	if err := detach(id); err != nil {
		return err
	}
	return clearAway(dir)
}
