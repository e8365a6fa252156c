package main

import (
	"context"
	"os"
	"slices"
	"testing"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/cmd/wherry/remote"
)

// What the front hands over is what the tree has: a command that is missing there would be promised in vain.
func TestFrontKnowsTheTree(t *testing.T) {
	dockerCli, err := command.NewDockerCli(command.WithBaseContext(context.Background()))
	if err != nil {
		t.Fatal(err)
	}
	root := &cobra.Command{Use: "wherry"}
	cli.SetupRootCommand(root)
	for _, add := range registered {
		root.AddCommand(add(dockerCli))
	}
	c, err := client.New()
	if err != nil {
		t.Fatal(err)
	}
	root.AddCommand(own(&cmdkit.Env{Getenv: os.Getenv}, c)...)
	have := names(root, "")
	if len(have) < 50 {
		t.Fatalf("the library's commands are not found any more: %q", have)
	}
	for _, path := range remote.Commands() {
		if !slices.Contains(have, path) {
			t.Errorf("%q is handed over, but the tree does not have it", path)
		}
	}
}
