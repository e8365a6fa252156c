package ociruntime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Kept is a container that dies with the process which runs it, however that ends: the runtime and all it starts are in a
// namespace of processes whose first one (wherry-init keep) waits at a pipe from us.
type Kept struct {
	Start                   // without a console; its log file is needed
	Keeper         string   // wherry-init
	Group          *os.File // directory of the control group to start in, or nil: ours; stays the caller's
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Place          func(pid int) error // optional: puts the keeper where it belongs when Group could not; before the runtime starts
	Running        func(pid int)       // optional: the keeper's, by whose namespaces others can join
}

// RunKept runs a container and returns its first process' exit status when all of it is gone. If ctx is done first it is
// killed. The caller is locked to a thread whose mount namespace nobody else looks at: /proc is mounted there anew.
// Errors are those of Exec.
func (r *Runtime) RunKept(ctx context.Context, k Kept) (int, error) {
	log, err := os.OpenFile(k.LogFile, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	there, ours, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer ours.Close()
	defer there.Close()
	cmd, err := r.startKeeper(ctx, &k, there, log)
	if err != nil {
		return 0, err
	}
	if k.Running != nil {
		k.Running(cmd.Process.Pid)
	}
	if _, err := ours.Write([]byte{1}); err != nil && !errors.Is(err, unix.EPIPE) {
		ours.Close()
		return 0, errors.Join(err, cmd.Wait())
	}
	return r.status(ctx, cmd.Wait(), log)
}

func (r *Runtime) keeper(ctx context.Context, k *Kept, lifeline, log *os.File) (*exec.Cmd, error) {
	args := r.foregroundArgs(k.Start)
	program := r.Path
	files := []*os.File{lifeline, log}
	memfd, err := r.Memfd()
	if err != nil {
		return nil, err
	}
	if memfd != nil {
		program = "/proc/self/fd/" + strconv.Itoa(3+len(files))
		files = append(files, memfd)
	}
	cmd := exec.CommandContext(ctx, k.Keeper, append([]string{"keep", program}, args...)...)
	cmd.Args[0], cmd.Dir, cmd.Env, cmd.ExtraFiles = filepath.Base(k.Keeper), "/", r.Env(), files
	cmd.Stdout, cmd.Stderr = k.Stdout, k.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: unix.CLONE_NEWPID}
	return cmd, nil
}

// feedLater lets cmd read from in. Unlike with cmd.Stdin its end does not wait for somebody who writes no more.
func feedLater(cmd *exec.Cmd, in io.Reader) (feed func(), err error) {
	if file, ok := in.(*os.File); ok || in == nil {
		if ok {
			cmd.Stdin = file
		}
		return func() {}, nil
	}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	return func() {
		go func() {
			io.Copy(pipe, in)
			pipe.Close()
		}()
	}, nil
}

// startKeeper starts it in its control group, or moves it there.
func (r *Runtime) startKeeper(ctx context.Context, k *Kept, lifeline, log *os.File) (*exec.Cmd, error) {
	cmd, err := r.startIn(ctx, k, k.Group, lifeline, log)
	if err == nil && k.Group != nil {
		return cmd, nil
	}
	if k.Group != nil { // it has just gone, or the kernel is older than 5.7
		cmd, err = r.startIn(ctx, k, nil, lifeline, log)
	}
	if err != nil || k.Place == nil {
		return cmd, err
	}
	if err := k.Place(cmd.Process.Pid); err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		return nil, err
	}
	return cmd, nil
}

func (r *Runtime) startIn(ctx context.Context, k *Kept, group, lifeline, log *os.File) (*exec.Cmd, error) {
	cmd, err := r.keeper(ctx, k, lifeline, log)
	if err != nil {
		return nil, err
	}
	defer closeAll(cmd.ExtraFiles[2:])
	if group != nil {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(group.Fd())
	}
	feed, err := feedLater(cmd, k.Stdin)
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", k.Keeper, err)
	}
	feed()
	return cmd, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// foregroundArgs is the command line (with argv[0]) that runs a container until its end.
func (r *Runtime) foregroundArgs(s Start) []string {
	args := append(r.global(s.LogFile), "run", "--bundle", s.Bundle)
	if s.PidFile != "" {
		args = append(args, "--pid-file", s.PidFile)
	}
	if s.KeepKeyring && r.Kind != Other {
		args = append(args, "--no-new-keyring")
	}
	return append(args, s.ID)
}
