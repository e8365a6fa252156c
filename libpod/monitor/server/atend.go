package server

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// startAtEnd starts what is to be done once the container is gone. The monitor does not wait for it.
func (s *Server) startAtEnd() {
	if len(s.job.AtEnd) > 0 {
		s.launch(s.job.AtEnd)
	}
}

// launch starts a program that outlives the monitor.
func (s *Server) launch(argv []string) {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err == nil {
		fd := uintptr(null)
		_, err = syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{fd, fd, fd}, Sys: &syscall.SysProcAttr{Setsid: true}})
		unix.Close(null)
	}
	if err != nil {
		s.warn("start %s: %v", argv[0], err)
	}
}
