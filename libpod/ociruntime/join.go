package ociruntime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/pkg/lazyjson"
)

// leftBehind is how long the output is waited for of what a process that has ended left in the background.
const leftBehind = time.Second

// Join is a further process in a container that RunKept runs.
type Join struct {
	ID             string
	Process        *specs.Process
	Dir            string // a new directory for what the runtime is told and says
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Running        func(pid int) // optional: the runtime's, of which the process is a child
}

// RunJoin runs a process in a container and returns its exit status. The caller is locked to a thread in the mount
// namespace that the container was started from, whose children are in the keeper's namespace of processes. Errors are
// those of Exec.
func (r *Runtime) RunJoin(ctx context.Context, j Join) (int, error) {
	data, err := lazyjson.Marshal(j.Process)
	if err != nil {
		return 0, err
	}
	file := filepath.Join(j.Dir, "process.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return 0, err
	}
	log, err := os.OpenFile(filepath.Join(j.Dir, "log"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	args := append(r.global(log.Name()), "exec", "--process", file, j.ID)
	cmd := exec.CommandContext(ctx, r.Path, args[1:]...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = r.Env(), "/", j.Stdout, j.Stderr
	cmd.WaitDelay = leftBehind
	feed, err := feedLater(cmd, j.Stdin)
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("execute %s: %w", r.Path, err)
	}
	feed()
	if j.Running != nil {
		j.Running(cmd.Process.Pid)
	}
	code, err := r.status(ctx, cmd.Wait(), log)
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	return code, err
}
