package container

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/values"
	"github.com/wherry-containers/wherry/network/state"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Port is `wherry port`.
func Port(env *cmdkit.Env) *cli.Command {
	var all, latest bool
	return &cli.Command{
		Name: "port", Usage: "List the published ports of a container", ArgsUsage: "[CONTAINER] [PORT[/PROTOCOL]]",
		Flags: []cli.Flag{
			cmdkit.Bool(&all, "all a", "Those of all containers that run"),
			cmdkit.Bool(&latest, "latest l", "Those of the newest container"),
		},
		Action: func(c *cli.Context) error { return port(c.Context, env, all, latest, c.Args().Slice()) },
	}
}

func port(ctx context.Context, env *cmdkit.Env, all, latest bool, operands []string) error {
	e := engine(env)
	if all || latest {
		return portOfMany(ctx, env, e, all, latest, operands)
	}
	if len(operands) == 0 {
		return cmdkit.Usagef("which container? Name one, or use --all")
	}
	ports, err := e.Ports(ctx, operands[0])
	if err != nil {
		return err
	}
	if len(operands) == 1 {
		printPorts(env, "", ports)
		return nil
	}
	return onePort(env, operands[0], operands[1], ports)
}

// onePort prints the addresses of one port of the container.
func onePort(env *cmdkit.Env, name, wanted string, ports []state.Port) error {
	keys, err := values.Expose(wanted)
	if err != nil || len(keys) != 1 {
		return cmdkit.Usagef("%q is not a port (it looks like 80 or 53/udp)", wanted)
	}
	found := false
	for _, p := range ports {
		if fmt.Sprintf("%d/%s", p.ContainerPort, p.Protocol) == keys[0] {
			found = true
			_, at, _ := strings.Cut(p.String(), " -> ")
			fmt.Fprintln(env.Out, at)
		}
	}
	if !found {
		return errdefs.New(errdefs.ErrNotFound, "container %q publishes no port %s", name, keys[0])
	}
	return nil
}

// portOfMany prints those of all containers, or of the newest.
func portOfMany(ctx context.Context, env *cmdkit.Env, e *libpod.Engine, all, latest bool, operands []string) error {
	if all && latest || len(operands) > 0 {
		return cmdkit.Usagef("--all and --latest go neither together nor with a container")
	}
	opts := libpod.ListOptions{}
	if latest {
		opts = libpod.ListOptions{All: true, Last: 1}
	}
	list, err := e.List(ctx, opts)
	if err != nil {
		return err
	}
	for i := range list {
		prefix := ""
		if all {
			prefix = shortened(list[i].ID, false) + "\t"
		}
		printPorts(env, prefix, list[i].Ports)
	}
	return nil
}

func printPorts(env *cmdkit.Env, prefix string, ports []state.Port) {
	for _, p := range ports {
		fmt.Fprintln(env.Out, prefix+p.String())
	}
}

// portText is the PORTS column: ranges are drawn together.
func portText(ports []state.Port) string {
	ports = slices.Clone(ports)
	var parts []string
	for len(ports) > 0 {
		first, n := ports[0], 1
		for n < len(ports) && follows(ports[n-1], ports[n]) {
			n++
		}
		parts = append(parts, rangeText(first, n))
		ports = ports[n:]
	}
	return strings.Join(parts, ", ")
}

// follows tells whether b is the next port after a on both sides.
func follows(a, b state.Port) bool {
	return a.HostIP == b.HostIP && a.Protocol == b.Protocol && a.HostPort+1 == b.HostPort && a.ContainerPort+1 == b.ContainerPort
}

func rangeText(p state.Port, n int) string {
	inside, at, _ := strings.Cut(p.String(), " -> ")
	if n > 1 {
		at += "-" + strconv.Itoa(int(p.HostPort)+n-1)
		inside = fmt.Sprintf("%d-%d/%s", p.ContainerPort, int(p.ContainerPort)+n-1, p.Protocol)
	}
	return at + "->" + inside
}
