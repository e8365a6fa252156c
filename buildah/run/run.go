// Package run executes one RUN step of a build: a command in an OCI runtime over a mounted root file system.
package run

import (
	"context"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/layout"
)

// Options configure a Runner.
type Options struct {
	Dirs    layout.Dirs
	Runtime string                   // name or path of the OCI runtime; empty: the host's best
	Parent  string                   // control group of the steps that name none (--cgroup-parent)
	Warn    func(string)             // nil: nobody is told
	Getenv  func(name string) string // nil: os.Getenv
}

// Runner runs steps, several at a time. It belongs to one process, in whose mount namespace the roots are mounted.
type Runner struct {
	opts Options
}

// New returns a runner. It does no I/O.
func New(o Options) *Runner { return &Runner{opts: o} }

// Run executes a step over the file tree mounted at root, and returns when all its processes are gone. A status that
// Meta.ValidExitCodes does not name (none: only 0) is an *ExitError.
func (r *Runner) Run(ctx context.Context, root string, s Step) error {
	return errdefs.New(errdefs.ErrUnsupported, "RUN is being built")
}
