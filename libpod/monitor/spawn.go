package monitor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/lazyjson"
)

// SpawnOptions say how a monitor is started.
type SpawnOptions struct {
	Path        string     // the monitor binary
	Runtime     *os.File   // sealed executable copy of the OCI runtime, or nil; stays the caller's
	Client      *os.File   // SOCK_SEQPACKET socket of the first attached client (the monitor's end), or nil; stays the caller's
	Lock        *os.File   // the container's lock, which the monitor shares until it has reported, or nil
	Group       *os.File   // directory of the control group to start it in, or nil: the caller's; stays the caller's
	Passthrough bool       // the container gets this process' own standard streams
	Keep        []*os.File // what the container has from descriptor 3 on; stays the caller's
	Config      *os.File   // read end of the pipe for RuntimeConfig, or nil; stays the caller's
	ahead       bool       // see SpawnAhead
}

// Process is a monitor that was spawned.
type Process struct {
	Pid     int
	InGroup bool // it was started in the group that was asked for

	job    *os.File
	report *os.File
	stderr *os.File // nil with Passthrough
	mu     sync.Mutex
	reaped bool
}

// Spawn starts the monitor as a child of the calling thread, whose mount and network namespaces it shares: the
// caller is locked to it. The monitor is in a session of its own, and outlives this process.
func Spawn(ctx context.Context, opts SpawnOptions) (*Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p := &Process{}
	if err := p.spawn(opts); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Process) spawn(opts SpawnOptions) error {
	files, after, err := p.files(opts)
	defer func() {
		for _, fd := range after {
			unix.Close(fd)
		}
	}()
	if err == nil {
		err = p.fork(opts, files)
	}
	if err != nil {
		p.close()
		return fmt.Errorf("start monitor %s: %w", opts.Path, err)
	}
	go p.reap()
	return nil
}

// fork happens on this thread, which os/exec would do as well; but it opens more than is needed.
func (p *Process) fork(opts SpawnOptions, files []uintptr) (err error) {
	argv := []string{"wherry-monitor"}
	if opts.ahead {
		argv = append(argv, AheadArg)
	}
	attr := syscall.ProcAttr{Dir: "/", Env: append(os.Environ(), KeepVar+"="+strconv.Itoa(len(opts.Keep))), Files: files, Sys: &syscall.SysProcAttr{Setsid: true}}
	if opts.Group != nil {
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, int(opts.Group.Fd())
		p.Pid, err = syscall.ForkExec(opts.Path, argv, &attr)
		if p.InGroup = err == nil; p.InGroup {
			return nil
		}
		attr.Sys.UseCgroupFD = false // the group has just gone, or the kernel is older than 5.7
	}
	p.Pid, err = syscall.ForkExec(opts.Path, argv, &attr)
	return err
}

// files are the monitor's descriptors from 0 on; those in after are closed once it has them.
func (p *Process) files(opts SpawnOptions) (files []uintptr, after []int, err error) {
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	after = append(after, null)
	jobRead, jobWrite, err := jobChannel(opts.ahead)
	if err != nil {
		return nil, after, err
	}
	p.job = os.NewFile(uintptr(jobWrite), "job")
	after = append(after, jobRead)
	reportRead, reportWrite, err := pipe()
	if err != nil {
		return nil, after, err
	}
	after = append(after, reportWrite)
	unix.SetNonblock(reportRead, true) // so that Report can be cancelled
	p.report = os.NewFile(uintptr(reportRead), "report")
	streams := []uintptr{0, 1, 2}
	if !opts.Passthrough {
		// Nobody reads the stderr of a process that outlives us. Until it reports, this file holds its last words.
		text, err := unix.MemfdCreate("monitor-stderr", unix.MFD_CLOEXEC)
		if err != nil {
			return nil, after, fmt.Errorf("make memory file: %w", err)
		}
		p.stderr = os.NewFile(uintptr(text), "monitor stderr")
		streams = []uintptr{uintptr(null), uintptr(null), uintptr(text)}
	}
	or := func(f *os.File) uintptr {
		if f == nil {
			return uintptr(null)
		}
		return f.Fd()
	}
	files = append(streams, uintptr(jobRead), uintptr(reportWrite), or(opts.Client), or(opts.Runtime), or(opts.Lock), or(opts.Config))
	for _, f := range opts.Keep {
		files = append(files, f.Fd())
	}
	return files, after, nil
}

// jobChannel is a pipe, or the socket over which descriptors can come as well.
func jobChannel(socket bool) (read, write int, err error) {
	if !socket {
		return pipe()
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, -1, fmt.Errorf("make socket pair: %w", err)
	}
	return fds[0], fds[1], nil
}

func pipe() (read, write int, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return -1, -1, fmt.Errorf("make pipe: %w", err)
	}
	return fds[0], fds[1], nil
}

// reap keeps the monitor from staying as a zombie of a long-lived caller.
func (p *Process) reap() {
	var info unix.Siginfo
	for unix.Waitid(unix.P_PID, p.Pid, &info, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	unix.Wait4(p.Pid, nil, 0, nil)
	p.reaped = true
}

// Kill kills the monitor, if it is there, and with it nothing else: a container that it has started goes on.
func (p *Process) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		unix.Kill(p.Pid, unix.SIGKILL)
	}
}

func (p *Process) close() {
	for _, f := range []*os.File{p.job, p.report, p.stderr} {
		if f != nil {
			f.Close()
		}
	}
}

// Send gives the monitor its job: it starts the container now.
func (p *Process) Send(job Job) error {
	data, err := lazyjson.Marshal(job)
	if err != nil {
		return fmt.Errorf("send job to monitor: %w", err)
	}
	_, err = p.job.Write(data)
	err = errors.Join(err, p.job.Close())
	if errors.Is(err, syscall.EPIPE) {
		return p.lastWords()
	}
	if err != nil {
		return fmt.Errorf("send job to monitor: %w", err)
	}
	return nil
}

// Report waits until the container runs, and returns what is on record of it. The error of a command that is not
// in the container is errdefs.ErrNoCommand, of one that cannot be executed errdefs.ErrNotExecutable. If ctx is done
// first, the monitor goes on: Kill it.
func (p *Process) Report(ctx context.Context) (*record.Live, error) {
	defer p.close()
	stop := context.AfterFunc(ctx, func() { p.report.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	data, err := io.ReadAll(p.report)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("wait for monitor: %w", ctx.Err())
	}
	if err != nil {
		return nil, fmt.Errorf("wait for monitor: %w", err)
	}
	var r Report
	if len(data) == 0 || lazyjson.Unmarshal(data, &r) != nil {
		return nil, p.lastWords()
	}
	switch {
	case r.Error != "":
		return nil, startError(r.Error, r.Exit)
	case r.Live == nil:
		return nil, p.lastWords()
	}
	return r.Live, nil
}

// lastWords is the error of a monitor that died without an answer.
func (p *Process) lastWords() error {
	const what = "the container's monitor ended before the container was started"
	if p.stderr == nil {
		return errors.New(what)
	}
	text := make([]byte, 64<<10)
	n, _ := p.stderr.ReadAt(text, 0)
	lines := strings.Split(strings.TrimSpace(string(text[:n])), "\n")
	for _, line := range lines { // of a crash the first line tells most
		if strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:") {
			return fmt.Errorf("%s: %s", what, line)
		}
	}
	if last := lines[len(lines)-1]; last != "" {
		return fmt.Errorf("%s: %s", what, last)
	}
	return errors.New(what)
}
