// Package compose holds the command compose. Compose itself is in the companion wherry-compose.
package compose

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Subcommands are Compose's own commands, as its help lists them. A test of the companion compares them with Compose.
var Subcommands = [][2]string{
	{"attach", "Attach local standard input, output, and error streams to a service's running container"},
	{"bridge", "Convert compose files into another model"},
	{"build", "Build or rebuild services"},
	{"commit", "Create a new image from a service container's changes"},
	{"config", "Parse, resolve and render compose file in canonical format"},
	{"cp", "Copy files/folders between a service container and the local filesystem"},
	{"create", "Creates containers for a service"},
	{"down", "Stop and remove containers, networks"},
	{"events", "Receive real time events from containers"},
	{"exec", "Execute a command in a running container"},
	{"export", "Export a service container's filesystem as a tar archive"},
	{"images", "List images used by the created containers"},
	{"kill", "Force stop service containers"},
	{"logs", "View output from containers"},
	{"ls", "List running compose projects"},
	{"pause", "Pause services"},
	{"port", "List port mappings or print the public port for a specific mapping for the service"},
	{"ps", "List containers"},
	{"publish", "Publish compose application"},
	{"pull", "Pull service images"},
	{"push", "Push service images"},
	{"restart", "Restart service containers"},
	{"rm", "Removes stopped service containers"},
	{"run", "Run a one-off command on a service"},
	{"scale", "Scale services "},
	{"start", "Start services"},
	{"stats", "Display a live stream of container(s) resource usage statistics"},
	{"stop", "Stop services"},
	{"top", "Display the running processes"},
	{"unpause", "Unpause services"},
	{"up", "Create and start containers"},
	{"version", "Show the Docker Compose version information"},
	{"volumes", "List volumes"},
	{"wait", "Block until containers of all (or specified) services stop."},
	{"watch", "Watch build context for service and rebuild/refresh containers when files are updated"},
}

type verbKey struct{}

// WithVerb makes the command under ctx do its work with run, which gets all that was typed after compose.
func WithVerb(ctx context.Context, run func(ctx context.Context, env *cmdkit.Env, args []string) error) context.Context {
	return context.WithValue(ctx, verbKey{}, run)
}

// Compose is the command; every word after it is Compose's.
func Compose(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "compose", Usage: "Run applications of several containers, from a Compose file", ArgsUsage: "[OPTIONS] COMMAND",
		Description: description(), SkipFlagParsing: true,
		Action: func(c *cli.Context) error {
			run, ok := c.Context.Value(verbKey{}).(func(context.Context, *cmdkit.Env, []string) error)
			if !ok {
				return errdefs.New(errdefs.ErrUnsupported, "%s compose needs its companion %s", env.Program, env.Dirs.Compose())
			}
			return run(c.Context, env, c.Args().Slice())
		},
	}
}

func description() string {
	var b strings.Builder
	b.WriteString("It is Docker Compose, in process: there is no service that it needs.\n\nCommands:\n")
	width := 0
	for _, sub := range Subcommands {
		width = max(width, len(sub[0]))
	}
	for _, sub := range Subcommands {
		fmt.Fprintf(&b, "  %-*s  %s\n", width, sub[0], sub[1])
	}
	b.WriteString("\nCOMMAND --help tells its options.")
	return b.String()
}
