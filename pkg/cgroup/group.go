package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// settle bounds the waits for the kernel: to freeze, and to bury processes that were killed.
const settle = 5 * time.Second

// Remove removes a group and those below it; absent is fine. With kill, what still runs in them is killed first.
func Remove(dir string, kill bool) error {
	if err := underRoot(dir); err != nil {
		return err
	}
	// The common case: empty, no group below.
	if err := unix.Rmdir(dir); err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if kill {
		if err := killAll(dir); err != nil {
			return err
		}
	}
	// A process that just ended leaves its group a moment later.
	var err error
	for wait, end := time.Millisecond, time.Now().Add(settle); ; wait = min(2*wait, 50*time.Millisecond) {
		if err = removeTree(dir); err == nil || !errors.Is(err, unix.EBUSY) || !kill || time.Now().After(end) {
			break
		}
		time.Sleep(wait)
	}
	if errors.Is(err, unix.EBUSY) {
		return errdefs.New(errdefs.ErrInUse, "control group %s still has processes", dir)
	}
	return err
}

// underRoot is the guard of everything that deletes.
func underRoot(dir string) error {
	rel, err := filepath.Rel(Root, dir)
	if err != nil || rel == "." || strings.HasPrefix(rel, "..") {
		return errdefs.New(errdefs.ErrInvalid, "%q is not a control group", dir)
	}
	return nil
}

func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("remove control group: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove control group %s: %w", dir, err)
	}
	return nil
}

// killAll uses cgroup.kill; where there is none (v1, kernels before 5.14) it signals each process.
func killAll(dir string) error {
	err := write(dir, "cgroup.kill", "1")
	if err == nil || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return nil
		}
		for _, word := range words(filepath.Join(p, "cgroup.procs")) {
			if pid, err := strconv.Atoi(word); err == nil && pid > 0 {
				unix.Kill(pid, unix.SIGKILL)
			}
		}
		return nil
	})
}

// ErrOverruled says of Freeze and Thaw that the group is gone, or that somebody else has asked for the contrary meanwhile.
var ErrOverruled = errors.New("it is gone, or somebody else has changed it meanwhile")

// Freeze stops all processes of a group of v2, or of v1's freezer, and returns when they are stopped.
func Freeze(dir string) error { return setFrozen(dir, true) }

// Thaw undoes Freeze.
func Thaw(dir string) error { return setFrozen(dir, false) }

// Frozen reports whether the group is frozen; an absent one is not.
func Frozen(dir string) bool {
	if b, err := os.ReadFile(filepath.Join(dir, "cgroup.events")); err == nil {
		return strings.Contains(string(b), "frozen 1\n")
	}
	b, _ := os.ReadFile(filepath.Join(dir, "freezer.state"))
	return strings.TrimSpace(string(b)) == "FROZEN"
}

func setFrozen(dir string, frozen bool) error {
	file, value := "cgroup.freeze", "0"
	if frozen {
		value = "1"
	}
	if exists(filepath.Join(dir, "freezer.state")) {
		file, value = "freezer.state", "THAWED"
		if frozen {
			value = "FROZEN"
		}
	}
	if err := write(dir, file, value); err != nil {
		if !exists(dir) || errors.Is(err, unix.ENODEV) {
			err = fmt.Errorf("control group %s: %w", dir, ErrOverruled)
		}
		return err
	}
	for wait, end := 100*time.Microsecond, time.Now().Add(settle); Frozen(dir) != frozen; wait = min(2*wait, 20*time.Millisecond) {
		if overruled(dir, file, value) {
			return fmt.Errorf("control group %s: %w", dir, ErrOverruled)
		}
		if time.Now().After(end) {
			if frozen {
				setFrozen(dir, false)
			}
			return fmt.Errorf("control group %s: the kernel did not change it within %v", dir, settle)
		}
		time.Sleep(wait)
	}
	return nil
}

// overruled tells whether what was written to file is no longer what is wanted. v1 says FREEZING on the way to FROZEN.
func overruled(dir, file, value string) bool {
	b, err := os.ReadFile(filepath.Join(dir, file))
	now := strings.TrimSpace(string(b))
	return err != nil || now != value && !(value == "FROZEN" && now == "FREEZING")
}

// write opens without O_CREAT: a missing file means a kernel or version that lacks it.
func write(dir, file, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("control group: %w", err)
	}
	defer f.Close()
	if _, err := f.WriteString(value); err != nil {
		return fmt.Errorf("control group: %w", err)
	}
	return nil
}
