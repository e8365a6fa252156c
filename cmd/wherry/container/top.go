package container

import (
	"context"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
)

// Top is `wherry top`.
func Top(env *cmdkit.Env) *cli.Command {
	var latest bool
	return &cli.Command{
		Name: "top", Usage: "Show the processes of a container", ArgsUsage: "[CONTAINER] [FIELD|PS-COMMAND-OPTION...]",
		Description: "Fields are those of podman top: user, pid, ppid, pcpu, etime, tty, time, args (the default), huser, hpid, capeff, seccomp, state and more. " +
			"What begins with - goes to the host's ps, of which the container's processes are shown.",
		Flags:  []cli.Flag{cmdkit.Bool(&latest, "latest l", "Of the newest container")},
		Action: func(c *cli.Context) error { return top(c.Context, env, latest, c.Args().Slice()) },
	}
}

// dockersColumns are what `docker top` shows.
const dockersColumns = "-ef"

func top(ctx context.Context, env *cmdkit.Env, latest bool, operands []string) error {
	e := engine(env)
	ref, words, err := one(ctx, e, latest, operands)
	if err != nil {
		return err
	}
	if len(words) == 0 && env.Program == "docker" {
		words = []string{dockersColumns}
	}
	rows, err := e.Top(ctx, ref, words)
	if err != nil {
		return err
	}
	tab := tabwriter.NewWriter(env.Out, 10, 1, 3, ' ', 0)
	for _, row := range rows {
		for i := range row {
			row[i] = cmdkit.Printable(row[i]) // a process calls itself what it likes
		}
		tab.Write([]byte(strings.Join(row, "\t") + "\n"))
	}
	return tab.Flush()
}
