package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/monitor"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/lazyjson"
	"github.com/wherry-containers/wherry/pkg/logdriver"
	"github.com/wherry-containers/wherry/pkg/procs"
)

const consoleSock = "console.sock"

// failure is why a container did not start, and the exit status that asks for.
type failure struct {
	text string
	exit int
}

func ours(err error) *failure { return &failure{text: err.Error(), exit: 125} }

// start runs the OCI runtime, which leaves the container behind as our child, and records it as live. On failure
// nothing of the container runs.
func (s *Server) start() *failure {
	files, after, err := s.stdio.open(&s.job)
	defer func() {
		for _, fd := range after {
			unix.Close(fd)
		}
	}()
	if err != nil {
		s.stdio.closeAll()
		return ours(err)
	}
	f := s.runRuntime(files)
	err = s.adoptUplink() // it was started beside the runtime
	if f != nil {
		s.stdio.closeAll()
		return f
	}
	s.replaceCopy()
	faultpoint.Hit("monitor.started")
	if err == nil {
		err = s.adopt()
	}
	if err != nil {
		s.abandon()
		return ours(err)
	}
	s.phase = running
	if s.live.Initialized {
		s.note("init")
	} else {
		s.begun()
	}
	s.signals.wake() // what ended meanwhile is still to be reaped
	return nil
}

// begun begins what counts from the moment in which the command runs.
func (s *Server) begun() {
	s.note("start")
	if s.job.Lifecycle.Timeout > 0 {
		s.timers.Kill = now() + int64(s.job.Lifecycle.Timeout)*int64(time.Second)
	}
	if s.health != nil {
		s.health.begin(s)
	}
}

// replaceCopy puts the configuration without secrets in the place of the copy that crun keeps of the one with them. It
// needs its copy for further processes in the container only, which are told their whole environment.
func (s *Server) replaceCopy() {
	if s.job.Copied == "" {
		return
	}
	if _, err := os.Lstat(s.job.Copied); err != nil {
		return // another runtime
	}
	data, err := os.ReadFile(s.runPath(filepath.Join(record.Bundle, "config.json")))
	if err == nil {
		err = atomicfile.Write(s.job.Copied, data, 0o600, atomicfile.Volatile)
	}
	if err != nil {
		os.Remove(s.job.Copied) // rather no further processes than a secret that lies about
		s.warn("replace the runtime's configuration: %v", err)
	}
}

// runRuntime executes the runtime to its end.
func (s *Server) runRuntime(files [3]int) *failure {
	console, args := -1, s.job.StartArgs
	if s.live.Initialized {
		args = s.job.CreateArgs
	}
	if s.job.Terminal {
		near, closeNear, err := shortPath(s.runPath(consoleSock))
		if err != nil {
			return ours(err)
		}
		defer closeNear()
		args = replaced(args, s.runPath(consoleSock), near)
		fd, err := bindSocket(s.runPath(consoleSock), unix.SOCK_STREAM)
		if err != nil {
			return ours(err)
		}
		console = fd
		defer unix.Close(console)
		defer os.Remove(s.runPath(consoleSock))
	}
	os.Remove(s.runPath(record.PidFile))
	pid, err := fork(runtimePath(s.job.Runtime), args, s.job.Env, append(files[:], s.config...)...)
	for _, fd := range s.config {
		unix.Close(fd)
	}
	s.config = nil
	if err != nil {
		return ours(fmt.Errorf("start runtime %s: %w", s.job.Runtime, err))
	}
	s.signals.catch()
	status, err := wait(pid)
	if err != nil {
		return ours(fmt.Errorf("wait for runtime %s: %w", s.job.Runtime, err))
	}
	if status != 0 {
		return s.runtimeError(status)
	}
	if console < 0 {
		return nil
	}
	terminal, err := receiveTerminal(console)
	if err != nil {
		return ours(err)
	}
	s.stdio.in, s.stdio.out[logdriver.Stdout] = terminal, terminal
	if s.stdio.rows > 0 {
		s.stdio.resize(s.stdio.rows, s.stdio.columns)
	}
	return nil
}

// runtimePath is the sealed copy of the runtime that the engine gave us, or its path.
func runtimePath(path string) string {
	var st unix.Stat_t
	if unix.Fstat(monitor.RunFD, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Mode&0o111 != 0 {
		return "/proc/self/fd/" + strconv.Itoa(monitor.RunFD)
	}
	return path
}

// firstConfig is the pipe that the configuration comes from at the first start (monitor.RuntimeConfig), if there is one.
func firstConfig() []int {
	var st unix.Stat_t
	if unix.Fstat(monitor.ConfigFD, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFIFO {
		return []int{monitor.ConfigFD}
	}
	return nil
}

// fork starts a process with the given standard streams and no other descriptor of ours, and with no signal
// blocked: after the idle stage ours are. The caller is locked to its thread.
func fork(path string, argv, env []string, files ...int) (int, error) {
	inherited := make([]uintptr, len(files))
	for i, fd := range files {
		inherited[i] = uintptr(fd)
	}
	var none, old unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &none, &old); err != nil {
		return 0, err
	}
	defer unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)
	return syscall.ForkExec(path, argv, &syscall.ProcAttr{
		Dir:   "/",
		Env:   env,
		Files: inherited,
	})
}

// adopt takes over the process that the runtime has left, and writes live.json.
func (s *Server) adopt() error {
	pid, err := readPid(s.runPath(record.PidFile))
	if err != nil {
		return err
	}
	s.init = child{pid: pid, pidfd: -1}
	start, err := procs.StartTime(pid)
	if err != nil {
		return fmt.Errorf("container process %d: %w", pid, err)
	}
	s.init.pidfd, err = unix.PidfdOpen(pid, 0) // our child: not reaped, so not recycled
	if err != nil {
		return fmt.Errorf("container process %d: %w", pid, err)
	}
	s.live.Pid, s.live.PidStart, s.live.StartedAt = pid, start, time.Now().UTC()
	return s.writeLive()
}

func (s *Server) writeLive() error {
	if err := faultpoint.Err("monitor.live"); err != nil {
		return fmt.Errorf("write %s: %w", record.LiveFile, err)
	}
	data, err := lazyjson.Marshal(&s.live)
	if err != nil {
		return fmt.Errorf("write %s: %w", record.LiveFile, err)
	}
	if err := atomicfile.Write(s.runPath(record.LiveFile), data, 0o600, atomicfile.Volatile); err != nil {
		return err
	}
	faultpoint.Hit("monitor.live")
	s.writePidFiles()
	return nil
}

// abandon kills a container that was started but could not be recorded.
func (s *Server) abandon() {
	if s.init.pid > 0 {
		unix.Kill(s.init.pid, unix.SIGKILL)
		wait(s.init.pid)
	}
	s.dropInit()
	s.stdio.closeAll()
}

func (s *Server) dropInit() {
	if s.init.pidfd >= 0 {
		unix.Close(s.init.pidfd)
	}
	s.init = child{pidfd: -1}
}

func readPid(path string) (int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read pid file: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("read pid file %s: no pid in it", path)
	}
	return pid, nil
}

// adoptUplink takes over the uplink that has left its pid, if there is one: it is ended with the container.
func (s *Server) adoptUplink() error {
	if s.job.UplinkPid == "" || s.uplink.Pid != 0 {
		return nil
	}
	pid, err := readPid(s.job.UplinkPid)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("network uplink: %w", err)
	}
	start, err := procs.StartTime(pid)
	if err != nil {
		return fmt.Errorf("network uplink (process %d): %w", pid, err)
	}
	s.uplink = process{pid, start}
	s.live.Uplink, s.live.UplinkStart = pid, start
	return nil
}

// uplinkEnd bounds the wait for a killed uplink.
const uplinkEnd = time.Second

func (s *Server) stopUplink() {
	if s.uplink.Pid == 0 {
		return
	}
	defer func() { s.uplink = process{} }()
	fd, err := procs.PidfdOpen(s.uplink.Pid, s.uplink.Start)
	if errors.Is(err, procs.ErrGone) {
		return
	}
	if err == nil {
		defer unix.Close(fd)
		err = procs.SendSignal(fd, unix.SIGKILL)
	}
	if err != nil && !errors.Is(err, procs.ErrGone) {
		s.warn("stop network uplink: %v", err)
		return
	}
	unix.Ppoll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, until(now()+int64(uplinkEnd)), nil)
}
