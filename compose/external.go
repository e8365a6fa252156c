package compose

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	commands "github.com/docker/compose/v5/cmd/compose"
	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// makers are the commands that make containers.
var makers = []string{"create", "run", "scale", "up", "watch"}

// external makes external secrets work, which Compose refuses: it knows only those of a swarm. A file more, merged over the
// project's own, says that each is a file, at the place where the store has the secret's name; the API's create takes a bind
// mount of such a place for the secret itself. What it returns takes the file away again.
func (s *session) external(ctx context.Context, cmd *cobra.Command, project *cli.ProjectOptions) (undo func(), err error) {
	undo = func() {}
	if s.SecretPath == nil || !slices.Contains(makers, cmd.Name()) || cmd.Parent() == nil || !mentions(project.ConfigPaths) {
		return undo, nil
	}
	loaded, err := load(ctx, project)
	if err != nil {
		return undo, nil // what is wrong is Compose's to tell
	}
	text := override(loaded.Secrets, s.SecretPath)
	if text == "" {
		return undo, nil
	}
	place, err := os.MkdirTemp("", "wherry-compose-")
	if err != nil {
		return undo, err
	}
	undo = func() { os.RemoveAll(place) } // at worst some words stay in a directory for such things
	path := filepath.Join(place, "external-secrets.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return undo, err
	}
	flags := cmd.Parent().Flags()
	if given, _ := flags.GetStringArray("file"); len(given) == 0 {
		for _, path := range project.ConfigPaths {
			if err := flags.Set("file", path); err != nil {
				return undo, err
			}
		}
	}
	return undo, flags.Set("file", path)
}

// projectOf is which files a command works on: those that Compose will find. It is nil where there are none.
func projectOf(cmd *cobra.Command) *cli.ProjectOptions {
	for cmd.Name() != commands.PluginName {
		if cmd = cmd.Parent(); cmd == nil {
			return nil
		}
	}
	list := func(name string) []string {
		values, _ := cmd.Flags().GetStringArray(name) // Compose defines them
		return values
	}
	dir, _ := cmd.Flags().GetString("project-directory")
	project, err := cli.NewProjectOptions(list("file"), cli.WithWorkingDirectory(dir), cli.WithOsEnv, cli.WithEnvFiles(list("env-file")...), cli.WithDotEnv,
		cli.WithConfigFileEnv, cli.WithDefaultConfigPath)
	if err != nil {
		return nil
	}
	return project
}

// mentions tells whether it is worth the time to read the files: most have no external secret.
func mentions(paths []string) bool {
	return slices.ContainsFunc(paths, func(path string) bool {
		text, err := os.ReadFile(path)
		return err == nil && (bytes.Contains(text, []byte("external")) && bytes.Contains(text, []byte("secrets")) || bytes.Contains(text, []byte("include")))
	})
}

// load reads the project without a word: Compose reads it once more, and says what there is to say.
func load(ctx context.Context, project *cli.ProjectOptions) (*types.Project, error) {
	level := logrus.GetLevel()
	logrus.SetLevel(logrus.PanicLevel)
	defer logrus.SetLevel(level)
	return project.LoadProject(ctx)
}

// override is the text of the further file, empty if there is nothing for it to say. Secrets that the store does not have stay
// what they are.
func override(secrets types.Secrets, find func(name string) (string, bool)) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(secrets)) {
		secret := secrets[key]
		name := secret.Name
		if name == "" {
			name = key
		}
		if path, ok := find(name); ok && bool(secret.External) {
			fmt.Fprintf(&b, "  %q: !override\n    file: %q\n", key, path)
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "secrets:\n" + b.String()
}

// missing says what to do about an external secret or configuration that Compose gives up on.
func missing(program string, err error) error {
	text := err.Error()
	if _, name, ok := strings.Cut(text, "unsupported external secret "); ok {
		return errdefs.New(errdefs.ErrNotFound, "external secret %q does not exist (make it: %s secret create %s FILE)", name, program, name)
	}
	if _, name, ok := strings.Cut(text, "unsupported external config "); ok {
		return errdefs.New(errdefs.ErrNotFound, "external config %q: only a swarm keeps those (say file, content or environment in its place)", name)
	}
	return err
}
