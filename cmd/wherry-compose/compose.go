package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/compose"
	"github.com/wherry-containers/wherry/pkg/api"
)

// composeVerb is wherry compose: args are what follows the word.
func composeVerb(ctx context.Context, env *cmdkit.Env, args []string) error {
	if err := enter(env); err != nil {
		return err
	}
	return compose.Run(ctx, options(env, append([]string{"compose"}, args...)))
}

func options(env *cmdkit.Env, args []string) compose.Options {
	return compose.Options{
		Args: args, Program: env.Program, Plugins: filepath.Join(env.Dirs.Libexec, "cli-plugins"), Getenv: env.Getenv,
		Handler: func() (http.Handler, error) {
			return api.New(apiOptions(env)), nil
		},
		SecretPath: func(name string) (string, bool) {
			path := filepath.Join(env.Dirs.SecretNames(), name)
			_, err := os.Lstat(path)
			return path, err == nil && name != "" && filepath.Base(path) == name
		},
		In: env.InFile, Out: env.OutFile, Err: env.ErrFile,
	}
}

// complete answers a shell for the words after wherry compose.
func complete(env *cmdkit.Env) *cli.Command {
	return &cli.Command{Name: "__complete", ArgsUsage: "[WORD...]", SkipFlagParsing: true, Action: func(c *cli.Context) error {
		words := c.Args().Slice()
		if i := slices.Index(words, "compose"); i >= 0 {
			words = words[i+1:]
		}
		if err := enter(env); err != nil {
			return err
		}
		lines, files := compose.Complete(c.Context, options(env, nil), words)
		if files {
			lines = []string{":files"}
		}
		_, err := env.Out.Write([]byte(strings.Join(lines, "\n") + "\n"))
		return err
	}}
}

// Words by which the docker command line speaks to its plugins.
const (
	metadataWord = "docker-cli-plugin-metadata"
	originalCLI  = "DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND" // set by the docker command line when it runs a plugin
)

// byName is an invocation as docker-compose: by a person, or by the docker command line that has us as its plugin.
type byName struct {
	env    *cmdkit.Env
	plugin bool
}

func asPlugin(env *cmdkit.Env) (byName, bool) {
	if !cmdkit.IsCompose(env.Args[0]) {
		return byName{}, false
	}
	env.Program = "docker"
	return byName{env: env, plugin: env.Getenv(originalCLI) != "" || slices.Contains(env.Args[1:min(2, len(env.Args))], metadataWord)}, true
}

func (b byName) run(ctx context.Context) error {
	args := b.env.Args[1:]
	if b.plugin && len(args) > 0 && args[0] == metadataWord {
		return compose.Metadata(b.env.Out, b.env.Version)
	}
	if err := enter(b.env); err != nil {
		return err
	}
	if !b.plugin {
		args = compose.Standalone(args)
	}
	o := options(b.env, args)
	o.Plugin = b.plugin
	return compose.Run(ctx, o)
}
