package compose

import (
	"strconv"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/flags"
	commands "github.com/docker/compose/v5/cmd/compose"
	"github.com/docker/compose/v5/cmd/prompt"
	engine "github.com/docker/compose/v5/pkg/compose"
	"github.com/spf13/cobra"

	"github.com/wherry-containers/wherry/pkg/nearest"
)

// root is the command above compose, as the docker CLI has it. Compose's own root must be a child: it asks its parent.
func (s *session) root() (*cobra.Command, *flags.ClientOptions) {
	root := &cobra.Command{
		Use: s.Program + " [OPTIONS] compose [ARG...]", SilenceUsage: true, SilenceErrors: true, TraverseChildren: true, DisableFlagsInUseLine: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	opts, _ := cli.SetupPluginRootCommand(root)
	root.Annotations["additionalHelp"] = "Run '" + s.Program + " compose COMMAND --help' for more about a command."
	root.SetIn(s.docker.In())
	root.SetOut(s.docker.Out())
	root.SetErr(s.docker.Err())

	backend := &commands.BackendOptions{Options: []engine.Option{engine.WithPrompt(prompt.NewPrompt(s.docker.In(), s.docker.Out()).Confirm)}}
	tree := commands.RootCommand(s.docker, backend)
	tree.AddCommand(commands.HooksCommand())
	tree.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return cli.StatusError{StatusCode: 1, Status: err.Error()} })
	olderNames(tree)
	s.unknown(tree)
	prepare := tree.PersistentPreRunE
	tree.PersistentPreRunE = func(cmd *cobra.Command, args []string) error {
		if err := prepare(cmd, args); err != nil {
			return err
		}
		return s.look(cmd)
	}
	root.AddCommand(tree)
	plain(root)
	return root, opts
}

// plain keeps cobra from adding "[flags]" to usage lines.
func plain(c *cobra.Command) {
	c.DisableFlagsInUseLine = true
	for _, sub := range c.Commands() {
		plain(sub)
	}
}

// olderNames are those that Compose had for a command before.
func olderNames(tree *cobra.Command) {
	for _, c := range tree.Commands() {
		if c.Name() == "config" {
			c.Aliases = append(c.Aliases, "convert")
		}
	}
}

// look reads the files of the project before Compose does.
func (s *session) look(cmd *cobra.Command) error {
	project := projectOf(cmd)
	if project == nil {
		return nil // what is wrong, or that there is none, is Compose's to tell
	}
	s.files = project.ConfigPaths
	if err := checkAliases(s.files); err != nil {
		return err
	}
	undo, err := s.external(cmd.Context(), cmd, project)
	s.undo = undo
	return err
}

// unknown makes tree say what is not one of its commands, in place of all that are.
func (s *session) unknown(tree *cobra.Command) {
	run := tree.RunE
	tree.RunE = func(cmd *cobra.Command, args []string) error {
		if version, _ := cmd.Flags().GetBool("version"); len(args) == 0 || version {
			return run(cmd, args)
		}
		text := "unknown command " + strconv.Quote(s.Program+" compose "+args[0])
		var names []string
		for _, c := range tree.Commands() {
			if !c.Hidden {
				names = append(names, c.Name())
			}
		}
		if best := nearest.Of(args[0], names); best != "" {
			text += " (did you mean " + strconv.Quote(best) + "?)"
		}
		return cli.StatusError{StatusCode: 1, Status: text}
	}
}
