package main

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Descriptors that the caller of keep hands down; libpod/ociruntime knows them too.
const (
	lifeline   = 3 // read end of a pipe: a byte says go, its end that the caller is gone
	complaints = 4 // the runtime's log
	runtimeFD  = 5 // the runtime itself in memory, if the program is named /proc/self/fd/5
)

// keep is the first process of a namespace of processes: all others in it are gone in the moment it ends. It runs the
// program in args (its path, its name, its arguments) and ends with it, or as soon as whoever started it is gone.
func keep(args []string) int {
	if len(args) < 2 {
		return exitNotFound
	}
	for _, fd := range []int{lifeline, complaints, runtimeFD} {
		unix.CloseOnExec(fd)
	}
	var word [1]byte
	if n, err := unix.Read(lifeline, word[:]); n != 1 || err != nil {
		return signalExit + int(unix.SIGKILL)
	}
	// The runtime looks at its children in /proc, which is still that of the namespace outside. The caller has given us a
	// mount namespace that nobody else looks at.
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return report("mount /proc for a build step: " + err.Error())
	}
	pid, err := syscall.ForkExec(args[0], args[1:], &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}})
	if err != nil {
		return report("execute " + args[1] + ": " + err.Error())
	}
	go func() { // nothing more is written there: it ends with the caller
		for {
			if _, err := unix.Read(lifeline, word[:]); err != unix.EINTR {
				os.Exit(signalExit + int(unix.SIGKILL))
			}
		}
	}()
	return await(pid)
}

// await reaps whatever ends until that process has: a namespace of processes below ours ends only when nothing of it is
// left, and what has lost its parent is ours to bury.
func await(pid int) int {
	for {
		var status unix.WaitStatus
		got, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR, err == nil && got != pid:
		case err != nil:
			return exitNotExecutable
		case status.Signaled():
			return signalExit + int(status.Signal())
		default:
			return status.ExitStatus()
		}
	}
}

func report(text string) int {
	unix.Write(complaints, []byte(text+"\n"))
	return exitNotExecutable
}
