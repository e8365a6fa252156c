// Package run executes one RUN step of a build: a command in an OCI runtime over a mounted root file system.
package run

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/entitlements"

	"github.com/wherry-containers/wherry/network"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/layout"
	"github.com/wherry-containers/wherry/pkg/steps"
)

// Options configure a Runner.
type Options struct {
	Dirs    layout.Dirs
	Runtime string                   // name or path of the OCI runtime; empty: the host's best
	Parent  string                   // control group of the steps that name none (--cgroup-parent)
	CDIDirs []string                 // with descriptions of devices; empty: the usual places
	Warn    func(string)             // nil: nobody is told
	Getenv  func(name string) string // nil: os.Getenv
}

// Runner runs steps, several at a time. It belongs to one process, in whose mount namespace the roots are mounted.
type Runner struct {
	opts     Options
	host     func() (*host, error)
	swept    sync.Once
	fellBack sync.Once
}

// New returns a runner. It does no I/O.
func New(o Options) *Runner {
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	r := &Runner{opts: o}
	r.host = sync.OnceValues(r.findHost)
	return r
}

// Run executes a step over the file tree mounted at root, and returns when all its processes are gone. A status that
// Meta.ValidExitCodes does not name (none: only 0) is an *ExitError.
func (r *Runner) Run(ctx context.Context, root string, s Step) (err error) {
	if err := check(&s); err != nil {
		return err
	}
	h, err := r.host()
	if err != nil {
		return err
	}
	r.swept.Do(r.sweep)
	place, err := steps.Claim(r.opts.Dirs)
	if err != nil {
		return err
	}
	st := &step{r: r, h: h, Step: s, root: root, place: place}
	// Clean-up must not be cut short by the cancel that ended the step.
	defer func() { err = st.end(context.WithoutCancel(ctx), err) }()
	st.connect(ctx)
	return onOwnThread(func() error { return st.run(ctx) })
}

// check refuses what the user has not allowed, whichever way it was asked for.
func check(s *Step) error {
	if s.Meta == nil || len(s.Meta.Args) == 0 {
		return errdefs.New(errdefs.ErrInvalid, "a step without a command")
	}
	if err := pb.ValidateSecurityMode(s.Security); err != nil {
		return err
	}
	err := s.Allowed.Check(entitlements.Values{
		NetworkHost:      s.Network == pb.NetMode_HOST,
		SecurityInsecure: s.Security == pb.SecurityMode_INSECURE,
	})
	if err != nil {
		return err
	}
	return permitDevices(s)
}

// sweep clears away what killed builders have left.
func (r *Runner) sweep() {
	for _, id := range steps.Left(r.opts.Dirs) {
		if err := steps.Clear(r.opts.Dirs, id, r.networks().Detach); err != nil {
			r.opts.Warn("what a build that was killed has left: " + err.Error())
		}
	}
}

func (r *Runner) networks() *network.Manager {
	h, err := r.host()
	if err != nil {
		return network.New(network.Options{Dirs: r.opts.Dirs, Warn: r.opts.Warn, Getenv: r.opts.Getenv})
	}
	return network.New(network.Options{
		Dirs: r.opts.Dirs, Host: !h.rootless, Warn: r.opts.Warn, Getenv: r.opts.Getenv,
		Group: h.cgroup.Monitors, Place: h.cgroup.Place,
	})
}

// onOwnThread runs fn on a thread that ends with it, so that what fn does to the thread's namespaces is seen by nobody but
// the processes it starts.
func onOwnThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread must not be used again
		done <- fn()
	}()
	return <-done
}

// keeper is the program that holds a step's processes.
func (r *Runner) keeper() string { return filepath.Join(r.opts.Dirs.Libexec, "wherry-init") }
