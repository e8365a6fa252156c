// Package procs tells one process from another that got its pid later, and waits for and signals processes
// without that race (pidfd).
package procs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrGone says that the process that was meant is not there any more (its pid may be another's by now).
var ErrGone = fmt.Errorf("process is gone: %w", syscall.ESRCH)

// StartTime is the time the process started, in clock ticks since boot: with its pid it names the process.
// A process that does not exist gives ErrGone. A zombie still has a start time.
func StartTime(pid int) (uint64, error) {
	_, start, err := stat(pid)
	return start, err
}

// Alive says whether the process pid that started at start runs; a zombie does not.
func Alive(pid int, start uint64) bool {
	state, got, err := stat(pid)
	return err == nil && got == start && state != 'Z' && state != 'X'
}

// Parent is the pid of the parent of the process pid.
func Parent(pid int) (int, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, ErrGone
	}
	end := bytes.LastIndexByte(data, ')')
	if fields := bytes.Fields(data[end+1:]); end > 0 && len(fields) > 1 {
		return strconv.Atoi(string(fields[1]))
	}
	return 0, errors.New("parse /proc/<pid>/stat: too few fields")
}

func stat(pid int) (state byte, start uint64, err error) {
	if pid <= 0 {
		return 0, 0, ErrGone
	}
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return 0, 0, ErrGone
	}
	if err != nil {
		return 0, 0, fmt.Errorf("read state of process %d: %w", pid, err)
	}
	return parseStat(data)
}

// parseStat reads fields 3 and 22. Field 2 is the command's name in parentheses and may itself hold spaces and
// parentheses: the last one ends it.
func parseStat(data []byte) (state byte, start uint64, err error) {
	end := bytes.LastIndexByte(data, ')')
	if end < 0 {
		return 0, 0, errors.New("parse /proc/<pid>/stat: no command name")
	}
	fields := bytes.Fields(data[end+1:])
	const stateField, startField = 0, 19 // numbers 3 and 22: fields holds them from number 3 on
	if len(fields) <= startField || len(fields[stateField]) != 1 {
		return 0, 0, errors.New("parse /proc/<pid>/stat: too few fields")
	}
	start, err = strconv.ParseUint(string(fields[startField]), 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("parse /proc/<pid>/stat: %w", err)
	}
	return fields[stateField][0], start, nil
}

// PidfdOpen returns a pidfd (close-on-exec, to be closed by the caller) of the process pid that started at
// start, or ErrGone. A start of 0 takes whatever process has the pid.
func PidfdOpen(pid int, start uint64) (int, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return -1, ErrGone
	}
	if err != nil {
		return -1, fmt.Errorf("open pidfd of process %d: %w", pid, err)
	}
	if start == 0 {
		return fd, nil
	}
	// The pidfd holds on to one process. If the pid has the right start time after the open, and the process of
	// the pidfd is still there, they are the same: the pid could not be given away in between.
	got, err := StartTime(pid)
	if err == nil && got == start {
		return fd, nil
	}
	unix.Close(fd)
	if err == nil {
		err = ErrGone
	}
	return -1, err
}

// PidfdSignal sends sig to the process pid that started at start, never to one that got the pid later: then it
// is ErrGone. Signal 0 only asks.
func PidfdSignal(pid int, start uint64, sig syscall.Signal) error {
	fd, err := PidfdOpen(pid, start)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return SendSignal(fd, sig)
}

// SendSignal sends sig to the process of a pidfd.
func SendSignal(fd int, sig syscall.Signal) error {
	err := unix.PidfdSendSignal(fd, sig, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return ErrGone
	}
	if err != nil {
		return fmt.Errorf("send %s: %w", sig, err)
	}
	return nil
}

// WaitPidfd returns nil once the process of the pidfd has ended, or the context's error. It blocks in poll and
// wakes for a cancel through a pipe.
func WaitPidfd(ctx context.Context, fd int) error {
	if ctx.Done() == nil {
		return pollEnd(fd, -1)
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("wait for process: %w", err)
	}
	defer unix.Close(p[0])
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		unix.Close(p[1]) // poll reports the hang-up
		close(woken)
	})
	err := pollEnd(fd, p[0])
	if stop() {
		unix.Close(p[1])
	} else {
		<-woken
	}
	if errors.Is(err, errWoken) {
		return ctx.Err()
	}
	return err
}

var errWoken = errors.New("woken")

func pollEnd(fd, wake int) error {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(wake), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds, -1)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("wait for process: %w", err)
		case fds[0].Revents&unix.POLLNVAL != 0:
			return fmt.Errorf("wait for process: %w", unix.EBADF)
		case fds[0].Revents != 0:
			return nil
		case fds[1].Revents != 0:
			return errWoken
		}
	}
}

// BootID names the current boot of the machine. It is read once in a process.
func BootID() (string, error) { return bootID() }

var bootID = sync.OnceValues(readBootID)

func readBootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}
