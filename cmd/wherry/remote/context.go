package remote

import (
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/endpoint/wish"
)

// ListOptions is what `context ls` and `system connection ls` were asked for.
type ListOptions struct {
	Format      string
	Quiet       bool
	NoTrunc     bool
	Connections bool // in Podman's columns
}

// CreateOptions is what a new context is.
type CreateOptions struct {
	Description *string
	Address     string
	Identity    string
	From        string // a context to copy
	TLS         wish.TLS
	SkipVerify  bool
	Given       bool // an address or TLS was given
	Default     bool // use it from now on
	Update      bool // it is there already
	Connection  bool // Podman's command
}

// RemoveOptions is what `context rm` was asked for.
type RemoveOptions struct {
	Force bool
	All   bool
}

// endpoint reads --docker host=...,ca=...: Docker's form.
func (o *CreateOptions) endpoint(text string) error {
	fields, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil {
		return fmt.Errorf("want host=ADDRESS[,ca=FILE,cert=FILE,key=FILE,skip-tls-verify=BOOL]")
	}
	o.Given = true
	for _, field := range fields {
		key, value, _ := strings.Cut(field, "=")
		switch strings.TrimSpace(key) {
		case "host":
			o.Address = value
		case "ca":
			o.TLS.CA = value
		case "cert":
			o.TLS.Cert = value
		case "key":
			o.TLS.Key = value
		case "from":
			o.From = value
		case "skip-tls-verify":
			if o.SkipVerify, err = strconv.ParseBool(value); err != nil {
				return fmt.Errorf("skip-tls-verify is true or false")
			}
		default:
			return fmt.Errorf("%q is not known (host, ca, cert, key, skip-tls-verify and from are)", key)
		}
	}
	return nil
}

// contextFlags are those of create and update.
func contextFlags(o *CreateOptions) []cli.Flag {
	return []cli.Flag{
		cmdkit.Func("description", "What the context is, in `WORDS`", func(s string) error {
			o.Description = &s
			return nil
		}),
		cmdkit.Func("docker", "Where its service is: `host=ADDRESS[,ca=FILE,cert=FILE,key=FILE,skip-tls-verify=BOOL]`", o.endpoint),
	}
}

// Create is `wherry context create`.
func Create(env *cmdkit.Env) *cli.Command {
	var opts CreateOptions
	return &cli.Command{
		Name: "create", Usage: "Give a service elsewhere a name", ArgsUsage: "CONTEXT",
		Flags:  append(contextFlags(&opts), cmdkit.String(&opts.From, "from", "Copy `CONTEXT`")),
		Action: action(env, func(c *cli.Context, v Verbs) error { return v.Create(c.Context, env, c.Args().First(), opts) }),
	}
}

// Update is `wherry context update`.
func Update(env *cmdkit.Env) *cli.Command {
	opts := CreateOptions{Update: true}
	return &cli.Command{
		Name: "update", Usage: "Change a context", ArgsUsage: "CONTEXT", Flags: contextFlags(&opts),
		Action: action(env, func(c *cli.Context, v Verbs) error { return v.Create(c.Context, env, c.Args().First(), opts) }),
	}
}

// List is `wherry context ls`.
func List(env *cmdkit.Env) *cli.Command {
	var opts ListOptions
	return &cli.Command{
		Name: "ls", Usage: "List contexts",
		Flags: []cli.Flag{
			cmdkit.String(&opts.Format, "format", "Print as `table|json|TEMPLATE`"),
			cmdkit.Bool(&opts.Quiet, "quiet q", "Print only names"),
		},
		Action: action(env, func(c *cli.Context, v Verbs) error { return v.List(c.Context, env, opts) }),
	}
}

// Use is `wherry context use`.
func Use(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "use", Usage: "Let a context's service do all commands from now on; default is this machine", ArgsUsage: "CONTEXT",
		Action: action(env, func(c *cli.Context, v Verbs) error {
			if err := v.Use(c.Context, env, c.Args().First()); err != nil {
				return err
			}
			fmt.Fprintln(env.Out, c.Args().First())
			fmt.Fprintf(env.Err, "Current context is now %q\n", c.Args().First())
			return nil
		}),
	}
}

// Show is `wherry context show`. It needs no companion.
func Show(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "show", Usage: "Print the name of the context in use",
		Action: func(*cli.Context) error {
			w, err := wish.Choose(env.Wish, env.Own, env.Getenv)
			if err != nil {
				return err
			}
			name := w.Context
			if name == "" {
				name = wish.Here
			}
			_, err = fmt.Fprintln(env.Out, name)
			return err
		},
	}
}

// Remove is `wherry context rm`.
func Remove(env *cmdkit.Env) *cli.Command {
	var opts RemoveOptions
	return &cli.Command{
		Name: "rm", Usage: "Forget contexts", ArgsUsage: "CONTEXT...",
		Flags:  []cli.Flag{cmdkit.Bool(&opts.Force, "force f", "One in use too, and one that is not there is no error")},
		Action: action(env, func(c *cli.Context, v Verbs) error { return v.Remove(c.Context, env, c.Args().Slice(), opts) }),
	}
}

// Inspect is `wherry context inspect`.
func Inspect(env *cmdkit.Env) *cli.Command {
	var format string
	return &cli.Command{
		Name: "inspect", Usage: "Show everything about contexts", ArgsUsage: "[CONTEXT...]",
		Flags:  []cli.Flag{cmdkit.String(&format, "format f", "Print as `json|TEMPLATE`")},
		Action: action(env, func(c *cli.Context, v Verbs) error { return v.Inspect(c.Context, env, c.Args().Slice(), format) }),
	}
}

// Export is `wherry context export`.
func Export(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "export", Usage: "Write a context to a file; - is standard output", ArgsUsage: "CONTEXT [FILE]",
		Action: action(env, func(c *cli.Context, v Verbs) error {
			return v.Transfer(c.Context, env, Transfer{Name: c.Args().Get(0), File: c.Args().Get(1)})
		}),
	}
}

// Import is `wherry context import`.
func Import(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "import", Usage: "Read a context from a file; - is standard input", ArgsUsage: "CONTEXT FILE",
		Action: action(env, func(c *cli.Context, v Verbs) error {
			return v.Transfer(c.Context, env, Transfer{Name: c.Args().Get(0), File: c.Args().Get(1), Import: true})
		}),
	}
}
