package remote

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
)

// AddConnection is `wherry system connection add`.
func AddConnection(env *cmdkit.Env) *cli.Command {
	opts := CreateOptions{Connection: true}
	var port, socket string
	return &cli.Command{
		Name: "add", Usage: "Give a service elsewhere a name", ArgsUsage: "NAME DESTINATION",
		Flags: []cli.Flag{
			cmdkit.Bool(&opts.Default, "default d", "Use it from now on"),
			cmdkit.String(&opts.Identity, "identity", "`FILE` with the key for ssh"),
			cmdkit.Func("port p", "`PORT` of ssh", func(s string) error {
				if n, err := strconv.ParseUint(s, 10, 16); err != nil || n == 0 {
					return fmt.Errorf("it is a number from 1 to 65535")
				}
				port = s
				return nil
			}),
			cmdkit.String(&socket, "socket-path", "`PATH` of the service's socket there"),
			cmdkit.String(&opts.TLS.CA, "tls-ca", "`FILE` with the CA of the service's certificate"),
			cmdkit.String(&opts.TLS.Cert, "tls-cert", "`FILE` with the client's certificate"),
			cmdkit.String(&opts.TLS.Key, "tls-key", "`FILE` with the client's key"),
		},
		Action: action(env, func(c *cli.Context, v Verbs) error {
			opts.Address, opts.Given = destination(c.Args().Get(1), port, socket), true
			return v.Create(c.Context, env, c.Args().First(), opts)
		}),
	}
}

// destination makes an address of what Podman's users type: USER@HOST, with or without ssh://.
func destination(text, port, socket string) string {
	if !strings.Contains(text, "://") {
		if strings.HasPrefix(text, "/") {
			return "unix://" + text
		}
		text = "ssh://" + text
	}
	rest, ssh := strings.CutPrefix(text, "ssh://")
	if !ssh {
		return text
	}
	host, path, _ := strings.Cut(rest, "/")
	if port != "" {
		host += ":" + port
	}
	if socket != "" {
		path = strings.TrimPrefix(socket, "/")
	}
	if path != "" {
		path = "/" + path
	}
	return "ssh://" + host + path
}

// ListConnections is `wherry system connection ls`.
func ListConnections(env *cmdkit.Env) *cli.Command {
	opts := ListOptions{Connections: true}
	return &cli.Command{
		Name: "ls", Usage: "List connections",
		Flags: []cli.Flag{
			cmdkit.String(&opts.Format, "format f", "Print as `table|json|TEMPLATE`"),
			cmdkit.Bool(&opts.Quiet, "quiet q", "Print only names"),
		},
		Action: action(env, func(c *cli.Context, v Verbs) error { return v.List(c.Context, env, opts) }),
	}
}

// RemoveConnection is `wherry system connection rm`.
func RemoveConnection(env *cmdkit.Env) *cli.Command {
	opts := RemoveOptions{Force: true}
	return &cli.Command{
		Name: "rm", Usage: "Forget connections", ArgsUsage: "[NAME...]",
		Flags: []cli.Flag{cmdkit.Bool(&opts.All, "all a", "All connections")},
		Action: action(env, func(c *cli.Context, v Verbs) error {
			switch names := c.Args().Slice(); {
			case opts.All == (len(names) > 0):
				return cmdkit.Operandsf("which connection? Name one, or use --all")
			default:
				return v.Remove(c.Context, env, names, opts)
			}
		}),
	}
}

// DefaultConnection is `wherry system connection default`.
func DefaultConnection(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "default", Usage: "Use a connection from now on", ArgsUsage: "NAME",
		Action: action(env, func(c *cli.Context, v Verbs) error { return v.Use(c.Context, env, c.Args().First()) }),
	}
}

// RenameConnection is `wherry system connection rename`.
func RenameConnection(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "rename", Usage: "Give a connection another name", ArgsUsage: "OLD NEW",
		Action: action(env, func(c *cli.Context, v Verbs) error {
			return v.Rename(c.Context, env, c.Args().Get(0), c.Args().Get(1))
		}),
	}
}
