package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/cmd/wherry/remote"
	"github.com/wherry-containers/wherry/pkg/endpoint/wish"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/layout"
	"github.com/wherry-containers/wherry/pkg/rootless"
)

func contextVerbs() []cmdkit.Entry {
	const far = cmdkit.Distant
	return []cmdkit.Entry{
		{Names: "create", New: remote.Create, Place: far},
		{Names: "export", New: remote.Export, Place: far},
		{Names: "import", New: remote.Import, Place: far},
		{Names: "inspect", New: remote.Inspect, Place: far},
		{Names: "ls list", New: remote.List, Place: far},
		{Names: "rm remove", New: remote.Remove, Place: far},
		{Names: "show", New: remote.Show, Place: cmdkit.Plain},
		{Names: "update", New: remote.Update, Place: far},
		{Names: "use", New: remote.Use, Place: far},
	}
}

func connectionVerbs() []cmdkit.Entry {
	const far = cmdkit.Distant
	return []cmdkit.Entry{
		{Names: "add", New: remote.AddConnection, Place: far},
		{Names: "default", New: remote.DefaultConnection, Place: far},
		{Names: "ls list", New: remote.ListConnections, Place: far},
		{Names: "rm remove", New: remote.RemoveConnection, Place: far},
		{Names: "rename", New: remote.RenameConnection, Place: far},
	}
}

// elsewhere hands a command to the companion that lets a service elsewhere do it, where the user wants that.
func elsewhere(env *cmdkit.Env, entry cmdkit.Entry, path string) (bool, error) {
	if entry.Place == cmdkit.Distant || staysHere(path) {
		return false, nil // about this machine's own settings
	}
	w, err := wish.Choose(env.Wish, env.Own, env.Getenv)
	if err != nil || !w.Elsewhere() {
		return false, err
	}
	if !remote.Does(path) {
		return true, errdefs.New(errdefs.ErrUnsupported, "%s %s works on this machine only, and %s (%s)", env.Program, path, asked(w), orHere(w, env))
	}
	if rootless.Inside() { // what the entry stub did has to be told to the companion
		if err := rootless.Enter(rootless.EnterOptions{}); err != nil {
			return true, err
		}
	}
	dirs, err := layout.Find(env.Getenv)
	if err != nil {
		return true, err
	}
	return true, fmt.Errorf("start %s: %w (is wherry installed completely?)", dirs.Remote(), syscall.Exec(dirs.Remote(), env.Args, os.Environ()))
}

// staysHere tells whether a command is about this machine whatever service is chosen.
func staysHere(path string) bool {
	first, _, _ := strings.Cut(path, " ")
	return slices.Contains([]string{"context", "completion", "login", "logout", "unshare", "generate-docs"}, first) ||
		path == "system migrate" || path == "system service"
}

// asked says what the user wants in place of this machine.
func asked(w wish.Wish) string {
	if w.Address != "" {
		return "the service at " + w.Address + " was asked for"
	}
	return fmt.Sprintf("context %q was asked for", w.Context)
}

// orHere says how to do it here.
func orHere(w wish.Wish, env *cmdkit.Env) string {
	switch {
	case env.Wish.Elsewhere():
		return "leave the flag away to do it here"
	case w.Address != "" && env.Getenv("CONTAINER_HOST") == "":
		return "unset DOCKER_HOST to do it here"
	case w.Address != "":
		return "unset CONTAINER_HOST to do it here"
	}
	return "--context default does it here"
}
