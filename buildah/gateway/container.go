package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"

	"github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/tonistiigi/fsutil/types"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/buildah/run"
	"github.com/wherry-containers/wherry/buildah/solver"
	"github.com/wherry-containers/wherry/buildah/tree"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// NewContainer is for frontends that look into a build.
func (b *Bridge) NewContainer(ctx context.Context, req client.NewContainerRequest) (client.Container, error) {
	var trees []*tree.Tree
	var mounts []*pb.Mount
	for _, m := range req.Mounts {
		mount := &pb.Mount{Input: int64(pb.Empty), Selector: m.Selector, Dest: m.Dest, Readonly: m.Readonly, MountType: m.MountType,
			CacheOpt: m.CacheOpt, SecretOpt: m.SecretOpt, SSHOpt: m.SSHOpt}
		if ref, ok := m.Ref.(*Ref); ok && ref != nil {
			t, err := ref.Tree(ctx)
			if err != nil {
				return nil, err
			}
			mount.Input = int64(len(trees))
			trees = append(trees, t)
		}
		mounts = append(mounts, mount)
	}
	inner, err := b.job.NewContainer(ctx, mounts, trees, run.Step{Network: req.NetMode, Platform: req.Platform})
	if err != nil {
		return nil, err
	}
	c := &container{inner: inner, joint: run.NewContainer(), hostname: req.Hostname, hosts: req.ExtraHosts}
	c.ctx, c.cancel = context.WithCancelCause(context.WithoutCancel(ctx)) // it lives until it is released
	return c, nil
}

// container runs commands for a frontend: the first one makes it, the others join that.
type container struct {
	inner    *solver.Container
	joint    *run.Container
	hostname string
	hosts    []*pb.HostIP

	ctx    context.Context //nolint:containedctx // the life of the container, in which its commands run
	cancel context.CancelCauseFunc
	work   sync.WaitGroup

	mu       sync.Mutex
	begun    bool
	security pb.SecurityMode // of the first command
	released bool
}

// errReleased ends what still runs in a container.
var errReleased = errors.New("the container was released")

// Start starts a command, and returns when it runs.
func (c *container) Start(ctx context.Context, req client.StartRequest) (client.ContainerProcess, error) {
	if req.Tty {
		return nil, errdefs.New(errdefs.ErrUnsupported, "a terminal in a container of a build client is not supported (ask for none)")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.released {
		return nil, errReleased
	}
	p := &process{done: make(chan struct{}), started: make(chan struct{}), signals: make(chan unix.Signal)}
	meta := &pb.Meta{Args: req.Args, Env: req.Env, Cwd: req.Cwd, User: req.User, Hostname: c.hostname, ExtraHosts: c.hosts,
		RemoveMountStubsRecursive: req.RemoveMountStubsRecursive}
	step, err := c.inner.Command(ctx, meta, req.SecretEnv)
	if err != nil {
		return nil, err
	}
	if !c.begun {
		c.begun, c.security = true, req.SecurityMode
		if meta.Cwd == "" {
			meta.Cwd = "/"
		}
		step.Security, step.Container, step.Signals, step.Started = req.SecurityMode, c.joint, p.signals, p.begin
		setStreams(req, &step)
		c.run(p, func() error { return c.inner.Run(c.ctx, step) })
	} else {
		if req.SecurityMode != c.security {
			return nil, errdefs.New(errdefs.ErrInvalid, "a command in a container cannot have other rights than the first one")
		}
		further := run.Process{Args: req.Args, Env: append(req.Env, step.SecretEnv...), User: req.User, Cwd: req.Cwd, Signals: p.signals}
		if req.Stdin != nil {
			further.Stdin = req.Stdin
		}
		if req.Stdout != nil {
			further.Stdout = req.Stdout
		}
		if req.Stderr != nil {
			further.Stderr = req.Stderr
		}
		p.begin()
		c.run(p, func() error { return c.joint.Exec(c.ctx, further) })
	}
	select {
	case <-p.started:
	case <-p.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return p, nil
}

// setStreams leaves out what is not there: an interface that holds a nil is none.
func setStreams(req client.StartRequest, step *run.Step) {
	if req.Stdin != nil {
		step.Stdin = req.Stdin
	}
	if req.Stdout != nil {
		step.Stdout = req.Stdout
	}
	if req.Stderr != nil {
		step.Stderr = req.Stderr
	}
}

func (c *container) run(p *process, do func() error) {
	c.work.Go(func() {
		defer close(p.done)
		p.err = exitError(do())
	})
}

// exitError is an error as clients know it.
func exitError(err error) error {
	var exit *run.ExitError
	if errors.As(err, &exit) {
		return &gwpb.ExitError{ExitCode: exit.Code, Err: exit.Err}
	}
	return err
}

// Release ends all commands, and unmounts what they saw.
func (c *container) Release(context.Context) error {
	c.mu.Lock()
	released := c.released
	c.released = true
	c.mu.Unlock()
	if released {
		return nil
	}
	c.cancel(errReleased)
	c.work.Wait()
	return c.inner.Close()
}

var errNoFiles = fmt.Errorf("files of a container of a build client: %w (start a command that reads them)", errdefs.ErrUnsupported)

// ReadFile, StatFile and ReadDir are refused: a command in the container can do it.
func (c *container) ReadFile(context.Context, client.ReadContainerRequest) ([]byte, error) {
	return nil, errNoFiles
}

func (c *container) StatFile(context.Context, client.StatContainerRequest) (*types.Stat, error) {
	return nil, errNoFiles
}

func (c *container) ReadDir(context.Context, client.ReadDirContainerRequest) ([]*types.Stat, error) {
	return nil, errNoFiles
}

// process is one command.
type process struct {
	started, done chan struct{}
	once          sync.Once
	err           error
	signals       chan unix.Signal
}

func (p *process) begin() { p.once.Do(func() { close(p.started) }) }

// Wait returns when the command has ended.
func (p *process) Wait() error {
	<-p.done
	return p.err
}

// Resize has nothing to do without a terminal.
func (p *process) Resize(context.Context, client.WinSize) error { return nil }

// Signal sends a signal to the command.
func (p *process) Signal(ctx context.Context, sig syscall.Signal) error {
	select {
	case p.signals <- sig:
		return nil
	case <-p.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
