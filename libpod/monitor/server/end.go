package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/monitor/idle"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/lazyjson"
	"github.com/wherry-containers/wherry/pkg/logdriver"
	"github.com/wherry-containers/wherry/pkg/recorddir"
)

// onEnd decides, once the container has ended and its output was taken, whether it is started again.
func (s *Server) onEnd() {
	faultpoint.Hit("monitor.exited")
	for i := range s.stdio.out {
		if s.stdio.out[i] >= 0 {
			s.endOutput(logdriver.Stream(i))
		}
	}
	s.stdio.closeAll()
	s.timers = timers{}
	s.end.code = exitCode(s.init.status)
	s.end.oom = oomKilled(s.job.Cgroups)
	if s.health != nil {
		s.health.stop(s)
	}
	s.dropInit()
	s.postStop()
	if s.waitForRestart() {
		s.cleanRuntime()
		s.dismiss(s.end.code)
		return
	}
	s.finish()
}

// finish records the end, cleans up, and tells the clients. After it nothing of a removed container is left but,
// for a moment, its directory in the trash.
func (s *Server) finish() {
	s.phase = ended
	if s.log != nil {
		if err := s.log.Close(); err != nil {
			s.warn("%v", err)
		}
		s.log = nil
	}
	if err := s.recordEnd(); err != nil {
		s.warn("%v", err) // the engine finds out from the kernel
	}
	s.stopUplink()
	s.cleanRuntime()
	s.cleanRunDir()
	faultpoint.Hit("monitor.cleaned")
	s.dismiss(s.end.code)
	if s.listen >= 0 {
		unix.Close(s.listen)
		s.listen = -1
	}
	for _, path := range s.end.trash {
		os.RemoveAll(path) // whoever cleans the trash next gets what is left
	}
	s.startAtEnd()
}

// recordEnd writes the last state, and takes a container with AutoRemove away.
func (s *Server) recordEnd() error {
	return s.withState(func(st *record.State) error {
		s.dropNetwork()
		if s.live.Initialized { // it never ran: what is noted is of the last run
			return s.recordUnused(st)
		}
		s.end.brief = st.Status == record.Removing
		if st.Status != record.Removing { // else nobody may start it again before it is gone
			st.Status = record.Exited
		}
		st.FinishedAt, st.ExitCode, st.OOMKilled = s.end.at, s.end.code, s.end.oom
		st.RestartCount = s.restart.Count
		st.Error = s.end.reason
		if st.Error == "" {
			st.Error = s.warning
		}
		err := s.writeState(st)
		s.noteEnd(st.Name) // after the state: who is told of the end looks at it
		if err != nil && !s.job.Lifecycle.AutoRemove {
			return err
		}
		faultpoint.Hit("monitor.state")
		if !s.job.Lifecycle.AutoRemove {
			return nil
		}
		return s.remove()
	})
}

// withState runs fn with the container's lock held and its present state.
func (s *Server) withState(fn func(*record.State) error) error {
	dir, err := unix.Open(s.job.Dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("lock container %s: %w", s.job.ID, err)
	}
	defer unix.Close(dir) // unlocks
	for {
		err = unix.Flock(dir, unix.LOCK_EX)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("lock container %s: %w", s.job.ID, err)
	}
	if _, err := os.Stat(s.job.Dir); err != nil { // removed while we waited
		return fmt.Errorf("container %s: %w", s.job.ID, err)
	}
	return fn(s.readState())
}

// readState returns what is known; a state that is absent or broken is made anew, for ours is the truth.
func (s *Server) readState() *record.State {
	st := &record.State{}
	if data, err := os.ReadFile(filepath.Join(s.job.Dir, record.StateFile)); err == nil {
		if lazyjson.Unmarshal(data, st) != nil {
			st = &record.State{}
		}
	}
	return st
}

// durability: what is about to be removed need not outlive the machine.
func (s *Server) durability() atomicfile.Durability {
	if s.job.Lifecycle.AutoRemove || s.end.brief {
		return atomicfile.Volatile
	}
	return atomicfile.Durable
}

// writeState completes and writes the state. The caller holds the lock.
func (s *Server) writeState(st *record.State) error {
	st.Version = max(st.Version, record.Version)
	st.BootID = s.job.BootID
	if !s.live.Initialized {
		st.StartedAt = s.live.StartedAt
	}
	if err := faultpoint.Err("monitor.state"); err != nil {
		return fmt.Errorf("write %s: %w", record.StateFile, err)
	}
	data, err := lazyjson.Marshal(st)
	if err != nil {
		return fmt.Errorf("write %s: %w", record.StateFile, err)
	}
	return atomicfile.Write(filepath.Join(s.job.Dir, record.StateFile), data, 0o600,
		s.durability())
}

// remove takes the container's name and moves its directory and anonymous volumes to the trash.
func (s *Server) remove() error {
	name := s.nameNow()
	if err := s.toTrash(s.job.Dir, s.job.ID); err != nil {
		return fmt.Errorf("remove container %s: %w", s.job.ID, err)
	}
	faultpoint.Hit("monitor.trashed")
	records := recorddir.Dir{Kind: "container", Names: s.job.Names}
	if err := records.Release(name, s.job.ID); err != nil {
		return fmt.Errorf("remove container %s: %w", s.job.ID, err)
	}
	faultpoint.Hit("monitor.unnamed")
	s.note("destroy")
	for _, volume := range s.job.Volumes {
		err := s.toTrash(volume, "volume-"+filepath.Base(volume)+"-"+s.job.ID)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.warn("remove volume %s: %v", filepath.Base(volume), err)
		}
	}
	return nil
}

// nameNow is the container's name, which a rename may have changed since it was started.
func (s *Server) nameNow() string {
	if st := s.readState(); st.Name != "" {
		return st.Name
	}
	return s.job.Name
}

func (s *Server) toTrash(path, name string) error {
	if err := faultpoint.Err("monitor.trash"); err != nil {
		return err
	}
	target := filepath.Join(s.job.Trash, name)
	err := os.Rename(path, target)
	if errors.Is(err, fs.ErrNotExist) && os.Mkdir(s.job.Trash, 0o700) == nil {
		err = os.Rename(path, target)
	}
	if err != nil {
		return err
	}
	s.end.trash = append(s.end.trash, target)
	return nil
}

// oomKilled asks the container's cgroups (version 2, else 1) whether the kernel killed one of its processes.
func oomKilled(cgroups []string) bool {
	for _, dir := range cgroups {
		for _, file := range []string{"memory.events", "memory.oom_control"} {
			data, err := os.ReadFile(filepath.Join(dir, file))
			if err == nil && countsOOM(string(data)) {
				return true
			}
		}
	}
	return false
}

func countsOOM(events string) bool {
	for line := range strings.Lines(events) {
		if count, ok := strings.CutPrefix(line, "oom_kill "); ok {
			return strings.TrimSpace(count) != "0"
		}
	}
	return false
}

// restarts is the memory of the restart policy.
type restarts struct {
	Count   int
	Backoff time.Duration
	Asked   bool // by the health check, whatever the policy
}

// Docker's back-off.
const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = time.Minute
	goodRun      = 10 * time.Second
)

// wanted says whether the policy starts a container again that ended with code.
func (r *restarts) wanted(p record.Lifecycle, code int) bool {
	if r.Asked {
		return true
	}
	switch p.Restart {
	case "always", "unless-stopped":
		return true
	case "on-failure":
		return code != 0 && (p.MaxRetries == 0 || r.Count < p.MaxRetries)
	}
	return false
}

// wait is how long the next start waits after a run of the given length.
func (r *restarts) wait(ran time.Duration) time.Duration {
	switch {
	case r.Backoff == 0 || ran >= goodRun:
		r.Backoff = firstBackoff
	default:
		r.Backoff = min(2*r.Backoff, lastBackoff)
	}
	return r.Backoff
}

// waitForRestart says whether the container will be started again, and records that.
func (s *Server) waitForRestart() bool {
	s.readUpdate()
	if s.live.Initialized || s.job.Lifecycle.AutoRemove || !s.restart.wanted(s.job.Lifecycle, s.end.code) {
		return false
	}
	again := false
	err := s.withState(func(st *record.State) error {
		if st.UserStopped {
			return nil
		}
		again = true
		st.Status, st.FinishedAt = record.Restarting, s.end.at
		st.ExitCode, st.OOMKilled, st.RestartCount = s.end.code, s.end.oom, s.restart.Count
		err := s.writeState(st)
		s.noteEnd(st.Name)
		s.rest.seen, _ = idle.Look(filepath.Join(s.job.Dir, record.StateFile))
		return err
	})
	if err != nil {
		s.warn("%v", err)
	}
	if !again {
		return false
	}
	s.restart.Asked = false
	s.phase = waiting
	s.timers.Restart = now() + int64(s.restart.wait(s.end.at.Sub(s.live.StartedAt)))
	return true
}

// endIfStopped ends the wait for a restart if the user wants the container stopped, or it is gone.
func (s *Server) endIfStopped() {
	stopped := true
	s.withState(func(st *record.State) error {
		stopped = st.UserStopped
		return nil
	})
	if stopped {
		s.finish()
	}
}

// startAgain is the restart. The lock is held over it, so that a stop finds either a wait or a live container.
func (s *Server) startAgain() {
	stop := true
	err := s.withState(func(st *record.State) error {
		if st.UserStopped {
			return nil
		}
		s.restart.Count++
		if f := s.start(); f != nil {
			s.end.reason, s.end.code = f.text, f.exit
			return nil
		}
		stop = false
		st.Status, st.RestartCount = record.Running, s.restart.Count
		return s.writeState(st)
	})
	if err != nil {
		s.warn("%v", err)
	}
	if stop {
		s.finish()
	}
}
