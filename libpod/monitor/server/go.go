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
	if s.live.Initialized {
		if f := s.letGo(); f != nil {
			binary.LittleEndian.PutUint32(answer, uint32(int32(f.exit)))
			answer = append(answer, f.text[:min(len(f.text), monitor.MaxData-len(answer))]...)
		}
	}
	c.send(monitor.MsgGone, answer, true)
}

// letGo runs the OCI runtime once more. live.json says last that the command runs: when we are killed before, the engine
// ends what has just begun, as it does with what never began.
func (s *Server) letGo() *failure {
	if s.init.exited || s.init.pid <= 0 {
		return ours(fmt.Errorf("its first process has ended"))
	}
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
	if status != 0 {
		return s.runtimeError(status)
	}
	faultpoint.Hit("monitor.go")
	s.live.Initialized, s.live.StartedAt = false, time.Now().UTC()
	if err := s.writeLive(); err != nil {
		s.live.Initialized = true
		return ours(err)
	}
	s.begun()
	return nil
}

// recordUnused is the end of a container whose command was never started: it is what it was before init, --rm or not.
func (s *Server) recordUnused(st *record.State) error {
	if st.Status != record.Removing {
		st.Status = st.Rested()
	}
	return s.writeState(st)
}
