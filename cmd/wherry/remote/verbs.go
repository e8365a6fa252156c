// Package remote holds the commands about services elsewhere: contexts, connections, and the way to a service through
// standard input and output. They are done by the companion wherry-remote, which brings the libraries (Verbs).
package remote

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Verbs is what the companion does. The front has none: it executes the companion before an Action is called.
type Verbs interface {
	List(ctx context.Context, env *cmdkit.Env, opts ListOptions) error
	Create(ctx context.Context, env *cmdkit.Env, name string, opts CreateOptions) error
	Use(ctx context.Context, env *cmdkit.Env, name string) error
	Remove(ctx context.Context, env *cmdkit.Env, names []string, opts RemoveOptions) error
	Inspect(ctx context.Context, env *cmdkit.Env, names []string, format string) error
	Transfer(ctx context.Context, env *cmdkit.Env, t Transfer) error
	Rename(ctx context.Context, env *cmdkit.Env, from, to string) error
	DialStdio(ctx context.Context, env *cmdkit.Env) error
}

// Transfer is export or import of a context.
type Transfer struct {
	Name, File string
	Import     bool
}

type verbsKey struct{}

// WithVerbs makes the commands under ctx do their work with v.
func WithVerbs(ctx context.Context, v Verbs) context.Context {
	return context.WithValue(ctx, verbsKey{}, v)
}

// action is a command that the companion does.
func action(env *cmdkit.Env, do func(c *cli.Context, v Verbs) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		v, ok := c.Context.Value(verbsKey{}).(Verbs)
		if !ok {
			return errdefs.New(errdefs.ErrUnsupported, "%s %s needs its companion %s", env.Program, c.Command.Name, env.Dirs.Remote())
		}
		return do(c, v)
	}
}

// DialStdio is `wherry system dial-stdio`.
func DialStdio(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "dial-stdio", Usage: "Connect standard input and output to the service of Docker's API, for ssh",
		Action: action(env, func(c *cli.Context, v Verbs) error { return v.DialStdio(c.Context, env) }),
	}
}
