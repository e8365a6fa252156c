package server

import (
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/monitor"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
)

// onGo lets the command of an initialized container go and answers. The client stays as the first one, or is no client of
// the container's streams at all.
func (s *Server) onGo(c *client, stays bool) {
	if stays {
		c.foreground = true
	} else {
		c.quiet = true
		if c.first {
			c.first, s.known = false, false
		}
	}
	answer := []byte{0, 0, 0, 0}
	if f := s.letGo(); f != nil {
		binary.LittleEndian.PutUint32(answer, uint32(int32(f.exit)))
		answer = append(answer, f.text[:min(len(f.text), monitor.MaxData-len(answer))]...)
	}
	c.send(monitor.MsgGone, answer, true)
}

// letGo starts the command under the container's lock, so that a stop finds a container that is initialized or one that
// runs. That somebody else has done it is fine. A command that cannot be started ends what init has made.
func (s *Server) letGo() (f *failure) {
	err := s.withState(func(st *record.State) error {
		switch {
		case !s.live.Initialized:
			return nil
		case st.Status == record.Removing || st.UserStopped || s.init.exited || s.init.pid <= 0:
			f = &failure{exit: monitor.GoneStopped}
			return nil
		}
		before := *st
		begun := time.Now().UTC()
		s.live.Initialized, s.live.StartedAt = false, begun
		st.Status, st.ExitCode, st.OOMKilled, st.RestartCount, st.Error = record.Running, 0, false, 0, ""
		err := s.writeState(st)
		if err == nil {
			if f = s.runGo(); f == nil {
				s.live.StartedAt = begun
				err = s.writeLive()
			}
		}
		if f == nil && err == nil {
			s.begun()
			return nil
		}
		s.live.Initialized = true
		s.signalInit(unix.SIGKILL)
		if f == nil {
			f = ours(err)
		}
		before.Error, before.ExitCode = f.text, f.exit
		return s.writeState(&before)
	})
	if f == nil && err != nil {
		f = ours(err)
	}
	return f
}

// runGo lets the OCI runtime start the command.
func (s *Server) runGo() *failure {
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return ours(fmt.Errorf("open %s: %w", os.DevNull, err))
	}
	defer unix.Close(null)
	os.Remove(logPath(s.job.GoArgs)) // what create said there is old
	pid, err := fork(s.job.Runtime, s.job.GoArgs, s.job.Env, null, null, null)
	if err != nil {
		return ours(fmt.Errorf("start runtime %s: %w", s.job.Runtime, err))
	}
	status, err := wait(pid)
	if err != nil {
		return ours(fmt.Errorf("wait for runtime %s: %w", s.job.Runtime, err))
	}
	if status != 0 { // what the container's pipes hold is not the runtime's
		data, _ := os.ReadFile(logPath(s.job.GoArgs))
		return s.runtimeFailure(lastLine(data, fmt.Sprintf("exit status %d", exitCode(status))))
	}
	faultpoint.Hit("monitor.go")
	return nil
}

// recordUnused is the end of a container whose command was never started: it is what it was before init, --rm or not.
func (s *Server) recordUnused(st *record.State) error {
	if st.Status != record.Removing {
		st.Status = st.Rested()
	}
	return s.writeState(st)
}
