package rootless

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/procs"
	"github.com/wherry-containers/wherry/pkg/realuser"
)

// pause is the content of a pause file: a process, and the inodes of its user and mount namespaces. A process that
// got the pid later differs in at least one of them.
type pause struct {
	PID              int
	Start, User, Mnt uint64
}

func (p pause) String() string {
	return fmt.Sprintf("%d %d %d %d\n", p.PID, p.Start, p.User, p.Mnt)
}

func (p pause) namespace() string { return fmt.Sprintf("user:[%d]", p.User) }

func parsePause(data string) (pause, error) {
	fields := strings.Split(strings.TrimSuffix(data, "\n"), " ")
	if len(fields) != 4 {
		return pause{}, fmt.Errorf("%d fields: %w", len(fields), errdefs.ErrBroken)
	}
	var n [4]uint64
	for i, field := range fields {
		var err error
		if n[i], err = strconv.ParseUint(field, 10, 63); err != nil {
			return pause{}, fmt.Errorf("field %d: %w", i+1, errdefs.ErrBroken)
		}
	}
	if n[0] <= 1 || n[0] > 1<<30 {
		return pause{}, fmt.Errorf("process %d: %w", n[0], errdefs.ErrBroken)
	}
	return pause{PID: int(n[0]), Start: n[1], User: n[2], Mnt: n[3]}, nil
}

// readPause gives the zero value and an error for a file that is missing, broken or not the user's own.
func readPause(path string) (pause, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return pause{}, err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || !info.Mode().IsRegular() || int(stat.Uid) != os.Geteuid() {
		return pause{}, errdefs.New(errdefs.ErrBroken, "%s is not a file of your own (remove it)", path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return pause{}, err
	}
	return parsePause(string(data))
}

// describe reads from the kernel what identifies the process.
func describe(pid int) (pause, error) {
	p := pause{PID: pid}
	var err error
	if p.Start, err = procs.StartTime(pid); err != nil {
		return pause{}, err
	}
	if p.User, err = namespaceInode(pid, "user"); err != nil {
		return pause{}, err
	}
	p.Mnt, err = namespaceInode(pid, "mnt")
	return p, err
}

func namespaceInode(pid int, kind string) (uint64, error) {
	var st syscall.Stat_t
	path := fmt.Sprintf("/proc/%d/ns/%s", pid, kind)
	if err := syscall.Stat(path, &st); err != nil {
		return 0, fmt.Errorf("stat %s: %w", path, err)
	}
	return st.Ino, nil
}

func (p pause) alive() bool {
	got, err := describe(p.PID)
	return err == nil && got == p
}

// withLock holds the lock of the run directory, which it makes if it is missing. What is done under it takes some
// milliseconds: one new pause process.
func withLock(dir string, fn func() error) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the run directory: %w", err)
	}
	f, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_DIRECTORY, 0)
	if err != nil {
		return fmt.Errorf("open the run directory: %w", err)
	}
	defer f.Close()
	// Between the look of layout.RunDir and here somebody else may have made it, in /tmp.
	var st syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &st); err != nil || int(st.Uid) != os.Geteuid() {
		return errdefs.New(errdefs.ErrInvalid, "run directory %s is not your own (set XDG_RUNTIME_DIR to a private directory)", dir)
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", dir, err)
	}
	return fn()
}

// ensurePause returns the live pause process. Where there is none, or the file tells of another process, it makes
// one and writes the file; of several callers at once the first one does and the others find it.
func ensurePause(single bool) (pause, error) {
	path, err := pauseFile(single)
	if err != nil {
		return pause{}, err
	}
	if p, err := readPause(path); err == nil && p.alive() {
		return p, nil
	}
	var p pause
	err = withLock(filepath.Dir(path), func() error {
		old, err := readPause(path)
		if err == nil && old.alive() {
			p = old
			return nil
		}
		if p, err = revive(old, single); err != nil {
			return err
		}
		if err := atomicfile.Write(path, []byte(p.String()), 0o600, atomicfile.Volatile); err != nil {
			return errors.Join(err, syscall.Kill(p.PID, syscall.SIGKILL))
		}
		return nil
	})
	return p, err
}

// revive starts a pause process in the user namespace of the dead one while any process lives there, so that running
// containers stay in reach; else in a new one.
func revive(old pause, single bool) (pause, error) {
	if member := findMember(old.User); member != 0 {
		if p, err := startIn(member, old.User); err == nil {
			return p, nil
		}
	}
	return create(single)
}

// findMember returns a process of the user in the user namespace ns, or 0.
func findMember(ns uint64) int {
	if ns == 0 {
		return 0
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	if own, err := namespaceInode(os.Getpid(), "user"); err != nil || own == ns {
		return 0
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if got, err := namespaceInode(pid, "user"); err == nil && got == ns {
			return pid
		}
	}
	return 0
}

// Stop ends the pause process (system migrate). Nothing of the user may run when it is called: a container that
// still runs keeps the old namespace, and commands that come later make a new one and cannot enter it any more.
// The next command makes a new namespace with what /etc/subuid and /etc/subgid say then.
func Stop(ctx context.Context) error {
	if os.Geteuid() == 0 && !realuser.Inside() {
		return nil
	}
	for _, single := range []bool{false, true} {
		path, err := pauseFile(single)
		if err != nil {
			return err
		}
		if err := withLock(filepath.Dir(path), func() error { return stopOne(ctx, path) }); err != nil {
			return fmt.Errorf("stop the pause process: %w", err)
		}
	}
	return nil
}

func stopOne(ctx context.Context, path string) error {
	p, err := readPause(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil && p.alive() {
		if err := killAndWait(ctx, p); err != nil {
			return err
		}
	}
	return os.Remove(path)
}

func killAndWait(ctx context.Context, p pause) error {
	fd, err := procs.PidfdOpen(p.PID, p.Start)
	if errors.Is(err, procs.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	if err := procs.SendSignal(fd, syscall.SIGKILL); err != nil && !errors.Is(err, procs.ErrGone) {
		return err
	}
	return procs.WaitPidfd(ctx, fd)
}
