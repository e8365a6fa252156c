package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/monitor"
	"github.com/wherry-containers/wherry/libpod/monitor/idle"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/lazyjson"
	"github.com/wherry-containers/wherry/pkg/logdriver"
	"github.com/wherry-containers/wherry/pkg/procs"
)

// Run is the life of the monitor process; args are its arguments after the name. It returns when the container is
// gone and nothing is left to do.
func Run(args []string) error {
	runtime.LockOSThread() // signal masks of children, the execve of the idle stage, and the mount namespace
	runtime.GOMAXPROCS(1)
	if len(args) > 0 && args[0] == idle.Arg {
		return resume()
	}
	if len(args) > 0 && args[0] == deliverArg {
		return deliver()
	}
	ahead := len(args) == 1 && args[0] == monitor.AheadArg
	if len(args) > 0 && !ahead {
		return errors.New("this program is started by wherry and takes no arguments")
	}
	return begin(ahead)
}

// begin takes the job, starts the container, reports, and stays.
func begin(ahead bool) error {
	// No descriptor of the program that started us, other than those of the protocol, goes any further.
	kept, _ := strconv.Atoi(os.Getenv(monitor.KeepVar)) // none if it is not set
	last := monitor.ConfigFD + max(kept, 0)
	if err := unix.CloseRange(uint(last+1), ^uint(0), 0); err != nil {
		return fmt.Errorf("close inherited descriptors: %w", err)
	}
	for fd := monitor.JobFD; fd <= last; fd++ {
		unix.CloseOnExec(fd)
	}
	// All that needs no job is done while the engine still prepares it.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become subreaper: %w", err)
	}
	joinKeyring()
	if ahead {
		if err := monitor.Receive(); err != nil {
			return err
		}
	}
	job, err := readJob()
	if err != nil {
		return err
	}
	if err := reserve(); err != nil {
		return err
	}
	s := newServer(job)
	s.config = firstConfig()
	for fd := monitor.ConfigFD + 1; fd <= last; fd++ {
		s.config = append(s.config, fd) // without a pipe for the configuration: they are the runtime's from 3 on
	}
	if f := s.first(); f != nil {
		s.stopUplink()
		return writeReport(monitor.Report{Error: f.text, Exit: f.exit})
	}
	// The engine may be gone by now. The container runs all the same, and is on record.
	writeReport(monitor.Report{Live: &s.live})
	faultpoint.Hit("monitor.reported")
	unix.Close(monitor.LockFD)
	unix.Close(monitor.RunFD) // later starts take the runtime from its path: the copy costs memory
	s.loop()
	return nil
}

// first is the first start.
func (s *Server) first() *failure {
	s.live = record.Live{Monitor: os.Getpid(), BootID: s.job.BootID, Runtime: s.job.Runtime, Cgroups: s.job.Cgroups, Initialized: len(s.job.CreateArgs) > 0}
	var err error
	if s.live.MonitorStart, err = procs.StartTime(s.live.Monitor); err != nil {
		return ours(err)
	}
	if err := s.openLog(nil); err != nil {
		return ours(err)
	}
	if isSocket(monitor.AttachFD) {
		s.addClient(monitor.AttachFD, true)
	} else {
		unix.Close(monitor.AttachFD)
	}
	if err := s.listenAttach(); err != nil {
		return ours(err)
	}
	return s.start()
}

// resume goes on after the idle stage.
func resume() error {
	caught := newSignalSet()
	caught.catch() // at once: until then a signal would end us
	data, err := idle.Resume()
	if err != nil {
		return err
	}
	snap := &snapshot{}
	if err := lazyjson.Unmarshal(data, snap); err != nil {
		return fmt.Errorf("resume the monitor: %w", err)
	}
	keep := snap.descriptors()
	keep[caught.fd] = true
	idle.Drop(keep)
	if err := reserve(); err != nil {
		return err
	}
	s := restore(snap, caught)
	if err := s.openLog(snap.Held); err != nil {
		s.warn("%v", err)
	}
	s.reap() // of before our handlers were there
	if s.phase == waiting {
		s.endIfStopped()
	}
	s.signals.wake()
	s.loop()
	return nil
}

// reserve keeps the descriptor that the idle stage will need from being given to something else.
func reserve() error {
	fd, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	if fd == monitor.JobFD {
		return nil
	}
	defer unix.Close(fd)
	return unix.Dup3(fd, monitor.JobFD, unix.O_CLOEXEC)
}

// readJob reads all of the job's pipe. An empty one means that the engine gave up.
func readJob() (job monitor.Job, err error) {
	data := make([]byte, 0, 32<<10)
	for {
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
		n, err := unix.Read(monitor.JobFD, data[len(data):cap(data)])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return job, fmt.Errorf("read job: %w", err)
		}
		if n == 0 {
			break
		}
		data = data[:len(data)+n]
	}
	return parseJob(data)
}

func parseJob(data []byte) (job monitor.Job, err error) {
	if err := lazyjson.Unmarshal(data, &job); err != nil {
		return job, fmt.Errorf("read job: %w", err)
	}
	if job.ID == "" || !filepath.IsAbs(job.Dir) || !filepath.IsAbs(job.RunDir) || len(job.StartArgs) == 0 {
		return job, errors.New("read job: incomplete")
	}
	return job, nil
}

func writeReport(r monitor.Report) error {
	defer unix.Close(monitor.ReportFD)
	data, err := lazyjson.Marshal(r)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := faultpoint.Err("monitor.report"); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	for len(data) > 0 {
		n, err := unix.Write(monitor.ReportFD, data)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("write report: %w", err)
		}
		data = data[max(n, 0):]
	}
	return nil
}

// openLog opens the container's log, if its driver keeps one.
func (s *Server) openLog(held *logdriver.Held) error {
	path := s.job.Log.Opts["path"]
	if path == "" {
		path = filepath.Join(s.job.Dir, record.LogFile)
	}
	log, err := logdriver.Open(logdriver.Target{Driver: s.job.Log.Driver, Path: path, Opts: s.job.Log.Opts,
		Attrs: s.job.LogAttrs, Tag: s.job.LogTag, Fields: s.job.LogFields}, held)
	s.log = log
	return err
}

func isSocket(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFSOCK
}
