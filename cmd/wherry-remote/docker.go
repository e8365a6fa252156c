package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	_ "unsafe" // for go:linkname

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	_ "github.com/docker/cli/cli/command/container" // each of these registers its commands
	_ "github.com/docker/cli/cli/command/image"
	_ "github.com/docker/cli/cli/command/network"
	_ "github.com/docker/cli/cli/command/volume"
	"github.com/docker/cli/cli/flags"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/endpoint"
	"github.com/wherry-containers/wherry/pkg/endpoint/wish"
)

// registered are the commands of docker's command line that the imports above bring. The library has them in an internal
// package; its own way to them brings swarm and plugins along, which are half of it.
//
//go:linkname registered github.com/docker/cli/internal/commands.commands
var registered []func(command.Cli) *cobra.Command

// elsewhere lets the service that the user chose carry out words. Commands about this machine's own settings are left
// to the table.
func elsewhere(ctx context.Context, env *cmdkit.Env, words []string) (bool, error) {
	if words[0] == "context" || len(words) > 1 && words[0] == "system" && (words[1] == "connection" || words[1] == "dial-stdio") {
		return false, nil
	}
	e, err := chosen(env)
	if err != nil {
		return true, err
	}
	line := &line{Endpoint: e}
	c, err := connect(line)
	if err != nil {
		return true, err
	}
	defer c.Close()
	return true, line.explain(carryOut(ctx, env, c, words))
}

// chosen is the service that the user wants.
func chosen(env *cmdkit.Env) (*endpoint.Endpoint, error) {
	w, err := wish.Choose(env.Wish, env.Own, env.Getenv)
	if err != nil {
		return nil, err
	}
	if w.Context != "" {
		return open(env).endpoint(w.Context, w)
	}
	if w.Address == "" {
		w.Address = env.Own()
	}
	return fromWish(w)
}

// fromWish is the endpoint at an address with what flags and variables say about TLS.
func fromWish(w wish.Wish) (*endpoint.Endpoint, error) {
	if !w.TLS.Use || !strings.HasPrefix(w.Address, "tcp:") && !strings.HasPrefix(w.Address, "https:") {
		return endpoint.New(w.Address, w.Identity, nil)
	}
	// Docker's --tls alone asks for no proof of who the service is; with a CA there is one to ask for.
	config, err := endpoint.TLSFiles(w.TLS.Verify || w.TLS.CA != "", w.TLS.CA, w.TLS.Cert, w.TLS.Key)
	if err != nil {
		return nil, err
	}
	return endpoint.New(w.Address, w.Identity, config)
}

// line is the way to the service, and what was the matter with it last.
type line struct {
	*endpoint.Endpoint
	mu   sync.Mutex
	last error
}

func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := l.DialContext(ctx, network, address)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = err
	return conn, err
}

// explain says with what the connection was that failed, and why: the client's library hides that.
func (l *line) explain(err error) error {
	if err == nil || !client.IsErrConnectionFailed(err) {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	cause := l.last
	if cause == nil {
		cause = err
	}
	for next := errors.Unwrap(cause); next != nil; next = errors.Unwrap(next) {
		cause = next
	}
	return fmt.Errorf("cannot reach the service at %s: %v", l.Address, cause)
}

// connect makes a client of the service. It dials when it is used.
func connect(l *line) (*client.Client, error) {
	return client.New(client.WithHost("http://wherry.service"), client.WithDialContext(l.dial), client.WithAPIVersionFromEnv(), client.WithUserAgent("wherry"))
}

// carryOut runs one command of the tree.
func carryOut(ctx context.Context, env *cmdkit.Env, c *client.Client, words []string) error {
	dockerCli, err := command.NewDockerCli(command.WithBaseContext(ctx), command.WithAPIClient(c), command.WithUserAgent("wherry"))
	if err != nil {
		return err
	}
	root := &cobra.Command{Use: env.Program, SilenceUsage: true, SilenceErrors: true, TraverseChildren: true, DisableFlagsInUseLine: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true}}
	cli.SetupRootCommand(root)
	for _, add := range registered {
		root.AddCommand(add(dockerCli))
	}
	root.AddCommand(own(env, c)...)
	// The address is given by our own client: these keep the library from looking for another.
	for _, name := range []string{client.EnvOverrideHost, command.EnvOverrideContext} {
		os.Unsetenv(name)
	}
	if err := dockerCli.Initialize(&flags.ClientOptions{Context: command.DefaultContextName}); err != nil {
		return err
	}
	root.SetArgs(words)
	return root.ExecuteContext(ctx)
}

// names are the commands of the tree, as words.
func names(root *cobra.Command, prefix string) []string {
	var all []string
	for _, c := range root.Commands() {
		path := strings.TrimSpace(prefix + " " + c.Name())
		if c.HasSubCommands() {
			all = append(all, names(c, path)...)
			continue
		}
		all = append(all, path)
	}
	slices.Sort(all)
	return all
}
