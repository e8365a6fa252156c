package network

import (
	"fmt"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod/values"
	"github.com/wherry-containers/wherry/network"
)

// Connect is `wherry network connect`.
func Connect(env *cmdkit.Env) *cli.Command {
	var w network.Wish
	address := func(s string) error {
		w.IPs = append(w.IPs, s)
		return values.Addr(s)
	}
	return &cli.Command{
		Name: "connect", Usage: "Put a container on a network", ArgsUsage: "NETWORK CONTAINER",
		Flags: append([]cli.Flag{
			cmdkit.Func("alias", "Another `NAME` on the network", func(s string) error {
				w.Aliases = append(w.Aliases, s)
				return values.Hostname(s)
			}),
			cmdkit.Func("ip", "IPv4 `ADDRESS`", address),
			cmdkit.Func("ip6", "IPv6 `ADDRESS`", address),
			cmdkit.Func("mac-address", "MAC `ADDRESS`", func(s string) error {
				w.MAC = s
				return values.MAC(s)
			}),
		}, cmdkit.Later("link link-local-ip driver-opt gw-priority")...),
		Action: func(c *cli.Context) error {
			w.Network = c.Args().Get(0)
			return engine(env).NetworkConnect(c.Context, c.Args().Get(1), w)
		},
	}
}

// Disconnect is `wherry network disconnect`.
func Disconnect(env *cmdkit.Env) *cli.Command {
	var force bool
	return &cli.Command{
		Name: "disconnect", Usage: "Take a container off a network", ArgsUsage: "NETWORK CONTAINER",
		Flags: []cli.Flag{cmdkit.Bool(&force, "force f", "That it is not on the network is no error")},
		Action: func(c *cli.Context) error {
			return engine(env).NetworkDisconnect(c.Context, c.Args().Get(1), c.Args().Get(0), force)
		},
	}
}

// Reload is `wherry network reload`.
func Reload(env *cmdkit.Env) *cli.Command {
	var all bool
	return &cli.Command{
		Name: "reload", Usage: "Make the firewall rules of networks anew, after others have flushed them", ArgsUsage: "[CONTAINER...]",
		Flags: []cli.Flag{cmdkit.Bool(&all, "all a", "For all containers; it always is")},
		Action: func(c *cli.Context) error {
			e := engine(env)
			ids, err := e.ResolveIDs(c.Context, c.Args().Slice()...)
			if err != nil {
				return err
			}
			if err := e.NetworkReload(c.Context); err != nil {
				return err
			}
			for _, id := range ids {
				fmt.Fprintln(env.Out, id)
			}
			return nil
		},
	}
}

// Prune is `wherry network prune`.
func Prune(env *cmdkit.Env) *cli.Command {
	var filters map[string][]string
	var force bool
	return &cli.Command{
		Name: "prune", Usage: "Remove the networks that no container uses",
		Flags: []cli.Flag{
			cmdkit.Filters(&filters, "filter", "Only networks for which `KEY=VALUE` holds: label, until"),
			cmdkit.Bool(&force, "force f", "Do not ask"),
		},
		Action: func(c *cli.Context) error {
			if !force && !env.Confirm(c.Context, "This removes all networks that no container uses.") {
				return nil
			}
			removed, err := engine(env).NetworkPrune(c.Context, filters)
			for _, name := range removed {
				fmt.Fprintln(env.Out, name)
			}
			return err
		},
	}
}
