package libpod

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/wherry-containers/wherry/pkg/faultpoint"
)

// whileFrozen pauses a running container while fn works. One that the user has paused stays so.
func (e *Engine) whileFrozen(c *container, fn func() error) error {
	if !c.running() || c.frozen() {
		return fn()
	}
	if err := freezable(c); err != nil {
		e.opts.Warn(err.Error() + "; its files may change while they are copied")
		return fn()
	}
	group := c.live.Cgroups[0]
	guard, err := startThawGuard(e.dirs.Monitor(), group)
	if err != nil {
		return fmt.Errorf("pause container %q: %w", c.name(), err)
	}
	defer guard.release()
	if err := c.freeze(); err != nil && c.running() {
		return fmt.Errorf("pause container %q: %w", c.name(), err)
	}
	faultpoint.Hit("commit.paused")
	err = fn()
	if thawErr := c.thaw(); thawErr != nil && c.running() {
		err = errors.Join(err, thawErr)
	}
	return err
}

// thawGuard is a process that lets a container go on when we die: the pipe between us ends then.
type thawGuard struct {
	cmd  *exec.Cmd
	pipe *os.File
}

func startThawGuard(program, group string) (*thawGuard, error) {
	ours, its, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	ours, its = its, ours // it reads, we hold the writing end
	defer its.Close()
	cmd := exec.Command(program, "thaw", group)
	cmd.Stdin = its
	cmd.Env = []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // what ends us from the terminal must not end it
	if err := cmd.Start(); err != nil {
		ours.Close()
		return nil, err
	}
	return &thawGuard{cmd, ours}, nil
}

// release tells the guard that there is nothing left to do.
func (g *thawGuard) release() {
	g.pipe.Write([]byte{1})
	g.pipe.Close()
	g.cmd.Wait()
}
