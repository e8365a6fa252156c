package main

import (
	"os"
	"slices"
	"testing"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	front "github.com/wherry-containers/wherry/cmd/wherry/compose"
	"github.com/wherry-containers/wherry/compose"
)

// The front's help lists Compose's commands without linking it.
func TestFrontKnowsTheCommands(t *testing.T) {
	if want := compose.Commands(); !slices.Equal(front.Subcommands, want) {
		t.Errorf("cmd/wherry/compose lists\n%q\nCompose has\n%q", front.Subcommands, want)
	}
}

func TestByName(t *testing.T) {
	for _, c := range []struct {
		args         []string
		original     string
		named, asked bool
	}{
		{[]string{"wherry", "compose", "ps"}, "", false, false},
		{[]string{"/usr/local/bin/docker-compose", "ps"}, "", true, false},
		{[]string{"docker-compose"}, "", true, false},
		{[]string{"docker-compose", "docker-cli-plugin-metadata"}, "", true, true},
		{[]string{"docker-compose", "--context", "x", "compose", "ps"}, "/usr/bin/docker", true, true},
	} {
		env := &cmdkit.Env{Args: c.args, Out: os.Stdout, Getenv: func(string) string { return c.original }}
		if b, ok := asPlugin(env); ok != c.named || b.plugin != c.asked {
			t.Errorf("%q: %v, plugin %v", c.args, ok, b.plugin)
		}
	}
}
