package compose

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/flags"
	"github.com/docker/compose/v5/cmd/compatibility"
	"github.com/spf13/cobra"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Options are one invocation of Compose.
type Options struct {
	Args    []string // with "compose" as the first word, after Docker's global flags if there are any
	Program string   // what the user calls us: wherry, docker
	// Handler makes what Compose talks to, when the first question is asked. Flags that name another host go there.
	Handler func() (http.Handler, error)
	Plugins string // directory with the plugins of the docker CLI that Compose looks for first: docker-buildx
	Plugin  bool   // we are a plugin of the docker CLI: what its context names is where to go
	// SecretPath is where the store has the name of a secret; false if there is none. Nil: external secrets are Compose's.
	SecretPath func(name string) (string, bool)
	Getenv     func(string) string
	In         io.ReadCloser // like the two below a file where it is a terminal
	Out, Err   io.Writer
}

// Standalone turns the arguments of docker-compose into those of Options.
func Standalone(args []string) []string { return compatibility.Convert(args) }

// Run runs one command of Compose. What went wrong comes back with the exit status in it (errdefs.ExitError).
func Run(ctx context.Context, o Options) error {
	docker, err := command.NewDockerCli(command.WithBaseContext(ctx), command.WithUserAgent("compose"),
		command.WithInputStream(o.In), command.WithOutputStream(o.Out), command.WithErrorStream(o.Err))
	if err != nil {
		return err
	}
	t := newTransport(o.Handler)
	defer t.close()
	s := &session{Options: o, docker: docker, transport: t, undo: func() {}}
	defer func() { s.undo() }()
	return status(s.execute(ctx))
}

// session is Compose at work.
type session struct {
	Options
	docker    *command.DockerCli
	transport *transport
	files     []string // of the project
	undo      func()   // takes away what was made for the command
}

func (s *session) execute(ctx context.Context) error {
	root, opts := s.root()
	top := cli.NewTopLevelCommand(root, s.docker, opts, root.Flags())
	top.SetArgs(s.Args)
	cmd, rest, err := top.HandleGlobalFlags()
	if err != nil {
		return err
	}
	cmd.PersistentPreRunE = func(*cobra.Command, []string) error {
		opts.SetDefaultOptions(root.Flags())
		return s.connect(opts)
	}
	cmd.SetArgs(rest)
	if err := cmd.ExecuteContext(ctx); err != nil {
		return s.explain(err)
	}
	return nil
}

// connect makes the client: in process, unless flags, or the docker CLI that runs us as its plugin, name another place.
func (s *session) connect(opts *flags.ClientOptions) error {
	var more []command.CLIOption
	if s.local(opts) {
		c, err := s.transport.client()
		if err != nil {
			return err
		}
		more = append(more, command.WithAPIClient(c))
		opts.Context = command.DefaultContextName // whichever the docker CLI has chosen for itself
	}
	if err := s.docker.Initialize(opts, more...); err != nil {
		return err
	}
	s.addPlugins(s.docker.ConfigFile())
	return nil
}

func (s *session) local(opts *flags.ClientOptions) bool {
	if opts.Context != "" && opts.Context != command.DefaultContextName || len(opts.Hosts) > 0 {
		return false
	}
	return !s.Plugin || s.Getenv("DOCKER_HOST") == "" && s.Getenv(command.EnvOverrideContext) == ""
}

// addPlugins makes Compose find our builder before any other buildx.
func (s *session) addPlugins(config *configfile.ConfigFile) {
	if s.Plugins != "" {
		config.CLIPluginsExtraDirs = append([]string{s.Plugins}, config.CLIPluginsExtraDirs...)
	}
}

// status puts the exit status that Docker's programs have for an error into it.
func status(err error) error {
	var known cli.StatusError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &known):
		return &errdefs.ExitError{Code: 1, Err: err}
	case known.Status == "" && known.Cause == nil:
		return &errdefs.ExitError{Code: max(known.StatusCode, 1)}
	}
	return &errdefs.ExitError{Code: max(known.StatusCode, 1), Err: err}
}

// explain turns Compose's words into those of a program without a daemon: where the fault is, and what to do.
func (s *session) explain(err error) error {
	if status := (cli.StatusError{}); errors.As(err, &status) {
		return err
	}
	if text, ok := strings.CutPrefix(err.Error(), "Error response from daemon: "); ok && s.Program != "docker" {
		err = errors.New(text)
	}
	return missing(s.Program, locate(err, s.files))
}
