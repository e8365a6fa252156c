package spec

import (
	"path"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/pkg/caps"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Exec is a further process in a running container.
type Exec struct {
	Args       []string
	Env        []string // added to the container's
	WorkDir    string   // empty: the container's
	User       *User    // nil: the container's
	Terminal   bool
	Privileged bool
	Caps       caps.Set // caps.Permitted(); needed with Privileged
}

// ExecProcess returns the process that e asks for in a container whose first process is first (of Build's result).
// The init prefix, limits and confinement of the first process carry over as Docker has it.
func ExecProcess(first *specs.Process, e Exec) (*specs.Process, error) {
	if len(e.Args) == 0 {
		return nil, errdefs.New(errdefs.ErrInvalid, "no command to execute")
	}
	p := *first
	p.Args, p.Terminal, p.ConsoleSize = e.Args, e.Terminal, nil
	p.OOMScoreAdj = nil // inherited by the runtime's child where it can be; else it is a needless failure
	base := append([]string{}, first.Env...)
	if e.WorkDir != "" {
		if !path.IsAbs(e.WorkDir) {
			return nil, errdefs.New(errdefs.ErrInvalid, "working directory %q is not an absolute path", e.WorkDir)
		}
		p.Cwd = path.Clean(e.WorkDir)
	}
	if e.User != nil {
		p.User = specs.User{UID: e.User.UID, GID: e.User.GID, AdditionalGids: e.User.Groups, Umask: first.User.Umask}
		if e.User.Home != "" {
			base = MergeEnv(base, []string{"HOME=" + e.User.Home})
		}
	}
	if e.Terminal {
		base = MergeEnv([]string{"TERM=xterm"}, base)
	}
	p.Env = MergeEnv(base, e.Env)
	bounding := []string{}
	if first.Capabilities != nil {
		bounding = first.Capabilities.Bounding
	}
	if e.Privileged {
		bounding = e.Caps.Names()
	}
	p.Capabilities = capabilities(p.User.UID, bounding)
	return &p, nil
}
