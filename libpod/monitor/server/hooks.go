package server

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/record"
)

// hookTime is how long a hook that says nothing else may take.
const hookTime = 10 * time.Second

// postStop runs the OCI hooks of the stage poststop. A runtime does so when it deletes a container; here nobody asks it to.
// That one fails is noted and changes nothing, as the specification has it.
func (s *Server) postStop() {
	if !s.job.PostStop {
		return
	}
	bundle := s.runPath(record.Bundle)
	data, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	var config struct {
		Annotations map[string]string
		Hooks       *specs.Hooks
	}
	if err == nil {
		err = json.Unmarshal(data, &config)
	}
	if err != nil {
		s.warn("hooks of the stage poststop: %v", err)
		return
	}
	if config.Hooks == nil || len(config.Hooks.Poststop) == 0 {
		return
	}
	state, err := json.Marshal(specs.State{Version: specs.Version, ID: s.job.ID, Status: specs.StateStopped, Bundle: bundle, Annotations: config.Annotations})
	if err != nil {
		s.warn("hooks of the stage poststop: %v", err)
		return
	}
	for _, hook := range config.Hooks.Poststop {
		if err := runHook(hook, state); err != nil {
			s.warn("hook %s: %v", hook.Path, err)
		}
	}
}

// runHook executes a hook with the state on its standard input and waits for it.
func runHook(hook specs.Hook, state []byte) error {
	in, err := unix.MemfdCreate("state", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(in)
	if _, err := unix.Write(in, state); err != nil {
		return err
	}
	if _, err := unix.Seek(in, 0, 0); err != nil {
		return err
	}
	null, err := unix.Open(os.DevNull, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(null)
	args := hook.Args
	if len(args) == 0 {
		args = []string{hook.Path}
	}
	pid, err := fork(hook.Path, args, hook.Env, in, null, null)
	if err != nil {
		return err
	}
	limit := hookTime
	if hook.Timeout != nil {
		limit = time.Duration(*hook.Timeout) * time.Second
	}
	if fd, err := unix.PidfdOpen(pid, 0); err == nil {
		if n, _ := unix.Ppoll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, until(now()+int64(limit)), nil); n == 0 {
			unix.Kill(pid, unix.SIGKILL)
		}
		unix.Close(fd)
	}
	status, err := wait(pid)
	if err == nil && status != 0 {
		err = fmt.Errorf("exit status %d", exitCode(status))
	}
	return err
}
