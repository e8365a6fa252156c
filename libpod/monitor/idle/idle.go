// Package idle is how a monitor waits while nothing happens: the process executes itself again and, before the Go
// runtime starts, blocks in one poll with a few pages of memory. Any event lets the Go runtime start and go on
// from a snapshot. Binaries that are not linked with the entry stub (see package earlystart) never idle.
package idle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/earlystart"
)

// Arg as the first argument of the binary asks for the idle stage.
const Arg = "idle"

// snapshotFD is where the idle stage finds the block and the snapshot.
const snapshotFD = 3

// MaxFDs is how many file descriptors the idle stage can watch.
const MaxFDs = 64

// block is what the stage before the Go runtime reads: the head of the snapshot file.
type block struct {
	magic  uint64
	count  uint64
	ino    uint64 // of the file at path; 0: nothing to compare
	mtime  int64
	mnsec  uint32
	wake   int32 // the signalfd
	fds    [MaxFDs]unix.PollFd
	path   [2048]byte
	result unix.Statx_t
}

// ignoring is a struct sigaction with the handler SIG_IGN.
var ignoring = [8]uintptr{1}

const magic = 0x77686572727931

const blockSize = unsafe.Sizeof(block{})

var (
	stubbed uint32 // set by the stage before the runtime: this binary can idle
	given   block
	name    = [16]byte{'w', 'h', 'e', 'r', 'r', 'y', '-', 'm', 'o', 'n', 'i', 't', 'o', 'r'}
)

//go:linkname hook github.com/wherry-containers/wherry/pkg/earlystart.hook
var hook = early

//go:nosplit
//go:norace
func early(s earlystart.Stack) {
	stubbed = 1
	if !s.Arg(1).Is(Arg) {
		return
	}
	earlystart.Syscall(unix.SYS_PRCTL, unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name)), 0, 0, 0, 0)
	n, errno := earlystart.Syscall(unix.SYS_READ, snapshotFD, uintptr(unsafe.Pointer(&given)), blockSize, 0, 0, 0)
	if errno != 0 || n != blockSize || given.magic != magic || changed() {
		return
	}
	forgetFile(s)
	for {
		_, errno = earlystart.Syscall(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&given.fds)), uintptr(given.count), 0, 0, 8, 0)
		if errno != uintptr(unix.EINTR) {
			break
		}
	}
	quiet()
}

// quiet drops the signals that wait and ignores them: the Go runtime unblocks some before it has handlers, and would
// be killed. Nothing is lost, for a woken monitor looks after its children and at its state.
//
//go:nosplit
//go:norace
func quiet() {
	earlystart.Syscall(unix.SYS_READ, uintptr(given.wake), uintptr(unsafe.Pointer(&given.result)), unsafe.Sizeof(given.result), 0, 0, 0)
	earlystart.Syscall(unix.SYS_RT_SIGACTION, uintptr(unix.SIGTERM), uintptr(unsafe.Pointer(&ignoring)), 0, 8, 0, 0)
	earlystart.Syscall(unix.SYS_RT_SIGACTION, uintptr(unix.SIGHUP), uintptr(unsafe.Pointer(&ignoring)), 0, 8, 0, 0)
	earlystart.Syscall(unix.SYS_RT_SIGACTION, uintptr(unix.SIGINT), uintptr(unsafe.Pointer(&ignoring)), 0, 8, 0, 0)
}

// forgetFile gives back the pages of the binary that the start has touched; they come again from the file. Variables
// with an initial value fall back to it (none was written yet); those without, such as given, stay.
//
//go:nosplit
//go:norace
func forgetFile(s earlystart.Stack) {
	const headers, headerSize, headerCount, load, dontNeed = 3, 4, 5, 1, 4
	const page = 65536 - 1 // the largest that any architecture has
	base := s.Aux(headers)
	for i := uintptr(0); i < s.Aux(headerCount); i++ {
		h := *(**[6]uintptr)(unsafe.Pointer(&base))
		if uint32(h[0]) == load {
			// In the 64-bit form the words are type and flags, offset, address, address, size in file; in the
			// 32-bit form type, offset, address, address, size in file.
			start, size := h[1+wide], h[3+wide]
			end := (start + size) &^ page
			start &^= 4095
			if end > start {
				earlystart.Syscall(unix.SYS_MADVISE, start, end-start, dontNeed, 0, 0, 0)
			}
		}
		base += s.Aux(headerSize)
	}
}

// wide is 1 on 64-bit architectures.
const wide = ^uintptr(0) >> 63

// changed says whether the file that Enter was told of was replaced before the signals were blocked.
//
//go:nosplit
//go:norace
func changed() bool {
	if given.ino == 0 {
		return false
	}
	cwd := unix.AT_FDCWD
	_, errno := earlystart.Syscall(unix.SYS_STATX, uintptr(cwd), uintptr(unsafe.Pointer(&given.path)), 0,
		unix.STATX_INO|unix.STATX_MTIME, uintptr(unsafe.Pointer(&given.result)), 0)
	return errno != 0 || given.result.Ino != given.ino || given.result.Mtime.Sec != given.mtime || given.result.Mtime.Nsec != given.mnsec
}

// Supported says whether this process can enter the idle stage.
func Supported() bool { return stubbed == 1 }

// Plan says what to wait for.
type Plan struct {
	FDs      []unix.PollFd // what wakes, besides signals and the deadline
	Keep     []int         // file descriptors that the woken process needs, besides those in FDs
	Signals  []unix.Signal // those that wake
	Block    []unix.Signal // those that wait, besides Signals, until the Go runtime is back
	Deadline int64         // CLOCK_MONOTONIC nanoseconds, or 0
	Path     string        // a file whose replacement since Seen wakes, or empty
	Seen     Seen
	Snapshot []byte // what Resume returns
	Title    string // shown in the list of processes
}

// Seen identifies one version of a file that is replaced by rename.
type Seen struct {
	Ino   uint64
	Mtime int64
	Nsec  uint32
}

// Look returns the version of the file at path.
func Look(path string) (Seen, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_INO|unix.STATX_MTIME, &st); err != nil {
		return Seen{}, fmt.Errorf("look at %s: %w", path, err)
	}
	return Seen{Ino: st.Ino, Mtime: st.Mtime.Sec, Nsec: st.Mtime.Nsec}, nil
}

// Enter replaces the process by its idle stage. It returns only on error, with the process as it was. The caller
// has no other goroutine at work that matters, and is locked to its thread.
func Enter(p Plan) error {
	b := block{magic: magic, ino: p.Seen.Ino, mtime: p.Seen.Mtime, mnsec: p.Seen.Nsec}
	if len(p.FDs)+2 > MaxFDs || len(p.Path) >= len(b.path) {
		return errors.New("enter the idle stage: too much to watch")
	}
	copy(b.path[:], p.Path)
	n := copy(b.fds[:], p.FDs)
	old, wake, err := blockSignals(p)
	if err != nil {
		return err
	}
	restore := func() { unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil) }
	opened := []int{wake}
	defer func() {
		for _, fd := range opened {
			unix.Close(fd)
		}
		restore()
	}()
	b.wake = int32(wake)
	b.fds[n] = unix.PollFd{Fd: int32(wake), Events: unix.POLLIN}
	n++
	if p.Deadline != 0 {
		timer, err := timerAt(p.Deadline)
		if err != nil {
			return err
		}
		opened = append(opened, timer)
		b.fds[n] = unix.PollFd{Fd: int32(timer), Events: unix.POLLIN}
		n++
	}
	b.count = uint64(n)
	memfd, err := snapshotFile(&b, p.Snapshot)
	if err != nil {
		return err
	}
	opened = append(opened, memfd)
	return execute(p, &b, memfd)
}

// blockSignals blocks the plan's signals in this thread, which is the one that survives the execve: from here on
// they stay pending. wake becomes readable when one of Signals is.
func blockSignals(p Plan) (old unix.Sigset_t, wake int, err error) {
	var waking, blocked unix.Sigset_t
	for _, sig := range p.Signals {
		addSignal(&waking, sig)
		addSignal(&blocked, sig)
	}
	for _, sig := range p.Block {
		addSignal(&blocked, sig)
	}
	wake, err = unix.Signalfd(-1, &waking, unix.SFD_NONBLOCK)
	if err != nil {
		return old, -1, fmt.Errorf("enter the idle stage: signalfd: %w", err)
	}
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &blocked, &old); err != nil {
		unix.Close(wake)
		return old, -1, fmt.Errorf("enter the idle stage: block signals: %w", err)
	}
	return old, wake, nil
}

func addSignal(set *unix.Sigset_t, sig unix.Signal) {
	bits := uint(8 * unsafe.Sizeof(set.Val[0]))
	at := uint(sig) - 1
	set.Val[at/bits] |= 1 << (at % bits)
}

func timerAt(deadline int64) (int, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK)
	if err != nil {
		return -1, fmt.Errorf("enter the idle stage: timer: %w", err)
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(deadline)}
	if err := unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME, &spec, nil); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("enter the idle stage: timer: %w", err)
	}
	return fd, nil
}

func snapshotFile(b *block, snapshot []byte) (int, error) {
	fd, err := unix.MemfdCreate("snapshot", unix.MFD_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("enter the idle stage: %w", err)
	}
	head := unsafe.Slice((*byte)(unsafe.Pointer(b)), blockSize)
	size := binary.LittleEndian.AppendUint64(nil, uint64(len(snapshot)))
	for _, part := range [][]byte{head, size, snapshot} {
		if _, err := writeAll(fd, part); err != nil {
			unix.Close(fd)
			return -1, fmt.Errorf("enter the idle stage: %w", err)
		}
	}
	if _, err := unix.Seek(fd, 0, io.SeekStart); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("enter the idle stage: %w", err)
	}
	return fd, nil
}

func writeAll(fd int, p []byte) (n int, err error) {
	for n < len(p) {
		m, err := unix.Write(fd, p[n:])
		if err != nil {
			return n, err
		}
		n += m
	}
	return n, nil
}

// execute makes the wanted descriptors inheritable, and starts the binary again.
func execute(p Plan, b *block, memfd int) error {
	if err := unix.Dup3(memfd, snapshotFD, 0); err != nil {
		return fmt.Errorf("enter the idle stage: %w", err)
	}
	inherit := append([]int(nil), p.Keep...)
	for i := range b.count {
		inherit = append(inherit, int(b.fds[i].Fd))
	}
	for _, fd := range inherit {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return fmt.Errorf("enter the idle stage: keep descriptor %d: %w", fd, err)
		}
	}
	err := unix.Exec("/proc/self/exe", []string{"wherry-monitor", Arg, p.Title}, os.Environ())
	for _, fd := range inherit {
		unix.CloseOnExec(fd)
	}
	unix.Close(snapshotFD)
	return fmt.Errorf("enter the idle stage: %w", err)
}

// Resume returns the snapshot of a process that was woken, closes what only the idle stage needed, and sets
// close-on-exec on all else. Signals that came meanwhile are gone: the caller looks at what they stand for.
func Resume() ([]byte, error) {
	if _, err := unix.Seek(snapshotFD, int64(blockSize), io.SeekStart); err != nil {
		return nil, fmt.Errorf("resume the monitor: %w", err)
	}
	var head [8]byte
	if _, err := unix.Read(snapshotFD, head[:]); err != nil {
		return nil, fmt.Errorf("resume the monitor: %w", err)
	}
	data := make([]byte, binary.LittleEndian.Uint64(head[:]))
	for n := 0; n < len(data); {
		m, err := unix.Read(snapshotFD, data[n:])
		if err != nil || m == 0 {
			return nil, fmt.Errorf("resume the monitor: %w", errors.Join(err, io.ErrUnexpectedEOF))
		}
		n += m
	}
	return data, nil
}

// Drop closes the descriptors of the idle stage: all but keep, from snapshotFD on. The rest gets close-on-exec.
func Drop(keep map[int]bool) {
	for fd := snapshotFD; fd < snapshotFD+4*MaxFDs; fd++ {
		if keep[fd] {
			unix.CloseOnExec(fd)
		} else {
			unix.Close(fd)
		}
	}
}
