// Package secret holds the commands about secrets.
package secret

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/values"
)

func engine(env *cmdkit.Env) *libpod.Engine {
	return libpod.New(env.Dirs, libpod.EngineOptions{Warn: env.Warn, EventsBackend: env.EventsBackend})
}

// Create is `wherry secret create`.
func Create(env *cmdkit.Env) *cli.Command {
	opts := libpod.SecretCreateOptions{Driver: "file"}
	var fromEnv bool
	driver := cmdkit.Func("driver d", "`file|pass|shell`: who keeps the value", func(s string) error {
		opts.Driver = s
		return values.OneOf(s, "file", "pass", "shell")
	})
	driver.Default = opts.Driver
	return &cli.Command{
		Name: "create", Usage: "Keep a secret: the content of a file, of standard input (-), or of a variable", ArgsUsage: "NAME [FILE]",
		Flags: append([]cli.Flag{
			driver,
			cmdkit.KeyValues(&opts.DriverOpts, "driver-opts", "Option `KEY=VALUE` of the driver, as path=DIR"),
			cmdkit.Bool(&fromEnv, "env", "FILE is the name of a variable of the environment"),
			cmdkit.Bool(&opts.Ignore, "ignore", "Leave a secret of this name as it is"),
			cmdkit.KeyValues(&opts.Labels, "label l", "Label `KEY=VALUE`"),
			cmdkit.Bool(&opts.Replace, "replace", "Take the place of a secret of this name"),
		}, cmdkit.Refused("template-driver", "it is for Docker's swarm")...),
		Action: func(c *cli.Context) error {
			return create(c.Context, env, opts, c.Args().Get(0), c.Args().Get(1), fromEnv)
		},
	}
}

func create(ctx context.Context, env *cmdkit.Env, opts libpod.SecretCreateOptions, name, from string, fromEnv bool) error {
	if err := values.SecretName(name); err != nil {
		return cmdkit.Usagef("%s", err)
	}
	if opts.Replace && opts.Ignore {
		return cmdkit.Usagef("--replace and --ignore do not go together")
	}
	data, err := read(env, from, fromEnv)
	if err != nil {
		return err
	}
	opts.Name, opts.Data = name, data
	id, err := engine(env).SecretCreate(ctx, opts)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(env.Out, id)
	return err
}

// read gets the value from where the user says.
func read(env *cmdkit.Env, from string, fromEnv bool) ([]byte, error) {
	switch {
	case fromEnv && from == "":
		return nil, cmdkit.Usagef("--env needs the name of a variable")
	case fromEnv:
		value := env.Getenv(from)
		if value == "" {
			return nil, cmdkit.Usagef("the variable %q is not set", from)
		}
		return []byte(value), nil
	case from == "":
		return nil, cmdkit.Usagef("whose content is the secret? Name a file, or - for standard input")
	case from == "-":
		return io.ReadAll(io.LimitReader(env.In, libpod.MaxSecret+1))
	}
	f, err := os.Open(from)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, libpod.MaxSecret+1))
}

// Remove is `wherry secret rm`.
func Remove(env *cmdkit.Env) *cli.Command {
	var all, ignore bool
	return &cli.Command{
		Name: "rm", Usage: "Remove secrets", ArgsUsage: "[SECRET...]",
		Flags: []cli.Flag{
			cmdkit.Bool(&all, "all a", "All secrets"),
			cmdkit.Bool(&ignore, "ignore i", "An unknown secret is no error"),
		},
		Action: func(c *cli.Context) error { return remove(c.Context, env, all, ignore, c.Args().Slice()) },
	}
}

func remove(ctx context.Context, env *cmdkit.Env, all, ignore bool, names []string) error {
	e := engine(env)
	switch {
	case all && len(names) > 0:
		return cmdkit.Usagef("--all does not go with named secrets")
	case !all && len(names) == 0:
		return cmdkit.Usagef("which secret? Name one, or use --all")
	case all:
		secrets, err := e.SecretList(ctx, nil)
		if err != nil {
			return err
		}
		for _, s := range secrets {
			names = append(names, s.Name)
		}
	}
	return cmdkit.Each(env, names, func(name string) (string, error) {
		if ignore {
			if found, err := e.SecretExists(ctx, name); err == nil && !found {
				return "", nil
			}
		}
		return e.SecretRemove(ctx, name)
	})
}

// Exists is `wherry secret exists`: its exit status is the answer.
func Exists(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "exists", Usage: "Exit with 0 if a secret exists, with 1 if not", ArgsUsage: "SECRET",
		Action: func(c *cli.Context) error {
			found, err := engine(env).SecretExists(c.Context, c.Args().First())
			if err == nil && !found {
				return cmdkit.Exit(1)
			}
			return err
		},
	}
}
