package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"syscall"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/build"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit/shell"
	"github.com/wherry-containers/wherry/cmd/wherry/compose"
	"github.com/wherry-containers/wherry/cmd/wherry/container"
	"github.com/wherry-containers/wherry/cmd/wherry/image"
	"github.com/wherry-containers/wherry/cmd/wherry/network"
	"github.com/wherry-containers/wherry/cmd/wherry/remote"
	"github.com/wherry-containers/wherry/cmd/wherry/secret"
	"github.com/wherry-containers/wherry/cmd/wherry/system"
	"github.com/wherry-containers/wherry/cmd/wherry/volume"
	"github.com/wherry-containers/wherry/pkg/layout"
	"github.com/wherry-containers/wherry/pkg/rootless"
)

// Headings of the program's help.
const (
	onContainers = "Containers"
	onImages     = "Images"
	onRegistries = "Registries"
	onProjects   = "Applications"
	onSystem     = "System"
)

// table is the one table of commands and aliases. Help, man pages and completions follow from it.
func table() *cmdkit.App {
	app := &cmdkit.App{Summary: "wherry runs containers without a daemon and without root", Flags: globalFlags, Prepare: prepare, Default: showVersion, Elsewhere: elsewhere}
	app.Entries = slices.Concat(containerVerbs(), imageVerbs(), projectVerbs(), systemVerbs(), groups(), later(laterCommands...))
	app.Entries = append(app.Entries, shell.Entries(app)...)
	return app
}

func containerVerbs() []cmdkit.Entry {
	const g = onContainers
	return []cmdkit.Entry{
		{Names: "run", New: container.Run, Group: g},
		{Names: "create", New: container.Create, Group: g},
		{Names: "init", New: container.Init, Group: g},
		{Names: "start", New: container.Start, Group: g},
		{Names: "stop", New: container.Stop, Group: g},
		{Names: "restart", New: container.Restart, Group: g},
		{Names: "kill", New: container.Kill, Group: g},
		{Names: "rm", New: container.Remove, Group: g},
		{Names: "ps", New: container.List, Group: g},
		{Names: "exec", New: container.Exec, Group: g},
		{Names: "attach", New: container.Attach, Group: g},
		{Names: "logs", New: container.Logs, Group: g},
		{Names: "inspect", New: container.Inspect, Group: g},
		{Names: "wait", New: container.Wait, Group: g},
		{Names: "top", New: container.Top, Group: g},
		{Names: "pause", New: container.Pause, Group: g},
		{Names: "unpause", New: container.Unpause, Group: g},
		{Names: "update", New: container.Update, Group: g},
		{Names: "stats", New: container.Stats, Group: g},
		{Names: "rename", New: container.Rename, Group: g},
		{Names: "port", New: container.Port, Group: g},
		{Names: "cp", New: container.Copy, Group: g},
		{Names: "diff", New: container.Diff, Group: g},
		{Names: "export", New: container.Export, Group: g},
		{Names: "mount", New: container.Mount, Group: g},
		{Names: "unmount umount", New: container.Unmount, Group: g},
		{Names: "commit", New: image.Commit, Group: g, Place: cmdkit.Companion},
	}
}

func imageVerbs() []cmdkit.Entry {
	const g, far = onImages, cmdkit.Companion
	return []cmdkit.Entry{
		{Names: "pull", New: image.Pull, Group: g, Place: far},
		{Names: "push", New: image.Push, Group: g, Place: far},
		{Names: "build", New: build.Build, Group: g, Place: cmdkit.Builder},
		{Names: "images", New: image.List, Group: g},
		{Names: "rmi", New: image.Remove, Group: g, Place: far},
		{Names: "tag", New: image.Tag, Group: g, Place: far},
		{Names: "untag", New: image.Untag, Group: g, Place: far},
		{Names: "history", New: image.History, Group: g},
		{Names: "save", New: image.Save, Group: g, Place: far},
		{Names: "load", New: image.Load, Group: g, Place: far},
		{Names: "import", New: image.Import, Group: g, Place: far},
		{Names: "search", New: image.Search, Group: onRegistries, Place: far},
		{Names: "login", New: image.Login, Group: onRegistries, Place: far},
		{Names: "logout", New: image.Logout, Group: onRegistries, Place: far},
	}
}

func projectVerbs() []cmdkit.Entry {
	return []cmdkit.Entry{
		{Names: "compose", New: compose.Compose, Group: onProjects, Place: cmdkit.Composer},
	}
}

func systemVerbs() []cmdkit.Entry {
	const g = onSystem
	return []cmdkit.Entry{
		{Names: "events", New: system.Events, Group: g},
		{Names: "info", New: system.Info, Group: g, Place: cmdkit.Plain},
		{Names: "version", New: system.Version, Group: g, Place: cmdkit.Plain},
		{Names: "unshare", New: system.Unshare, Group: g},
		{Names: "buildkit", New: build.BuildKit, Group: g, Place: cmdkit.Builder},
	}
}

// groups are the commands that say first what they are about: container ls.
func groups() []cmdkit.Entry {
	const far = cmdkit.Companion
	return []cmdkit.Entry{
		{Names: "container", Group: "Work on containers", Sub: slices.Concat([]cmdkit.Entry{
			{Names: "ls list ps", New: container.List},
			{Names: "inspect", New: container.InspectContainer},
			{Names: "exists", New: container.Exists},
			{Names: "prune", New: container.Prune},
			{Names: "cleanup", New: container.Cleanup},
			{Names: "clone", New: container.Clone},
			{Names: "runlabel", New: container.RunLabel},
		}, refused("CRIU can neither save nor restore what runs without root (commit keeps a container's files)", "checkpoint", "restore"), also(containerVerbs(), "ps", "inspect"))},
		{Names: "healthcheck", Group: "Check the health of containers", Sub: []cmdkit.Entry{{Names: "run", New: container.HealthCheck}}},
		{Names: "image", Group: "Work on images", Sub: slices.Concat([]cmdkit.Entry{
			{Names: "ls list", New: image.List},
			{Names: "rm remove", New: image.Remove, Place: far},
			{Names: "inspect", New: image.Inspect},
			{Names: "exists", New: image.Exists},
			{Names: "prune", New: image.Prune, Place: far},
			{Names: "diff", New: image.Diff},
			{Names: "tree", New: image.Tree},
			{Names: "sign", New: image.Sign, Place: far},
			{Names: "scp", New: image.SCP, Place: far},
			{Names: "trust", Group: "Say whose images are accepted", Sub: image.Trust(far)},
			{Names: "mount", New: image.Mount},
			{Names: "unmount umount", New: image.Unmount},
		}, also(imageVerbs(), "images", "rmi", "login", "logout"))},
		{Names: "manifest", Group: "Work on lists of images for several platforms", Sub: image.Manifests(far)},
		{Names: "builder", Group: "Build images", Sub: []cmdkit.Entry{
			{Names: "build", New: build.Build, Also: true, Place: cmdkit.Builder},
			{Names: "prune", New: image.PruneBuild, Place: far},
		}},
		{Names: "buildx", Group: "Build images, by Docker's newer name", Sub: append([]cmdkit.Entry{
			{Names: "build b", New: build.Build, Also: true, Place: cmdkit.Builder},
			{Names: "du", New: build.DiskUsage},
			{Names: "prune", New: image.PruneBuild, Place: far},
			{Names: "imagetools", Group: "Work on images in registries", Sub: image.Imagetools(far)},
		}, append(build.Builders(), later("bake", "history")...)...)},
		{Names: "volume", Group: "Work on volumes", Sub: slices.Concat([]cmdkit.Entry{
			{Names: "create", New: volume.Create},
			{Names: "ls list", New: volume.List},
			{Names: "inspect", New: volume.Inspect},
			{Names: "rm remove", New: volume.Remove},
			{Names: "exists", New: volume.Exists},
			{Names: "prune", New: volume.Prune},
			{Names: "export", New: volume.Export},
			{Names: "import", New: volume.Import},
			{Names: "mount", New: volume.Mount},
			{Names: "unmount umount", New: volume.Unmount},
			{Names: "reload", New: volume.Reload},
		}, []cmdkit.Entry{{Names: "update", Later: true, Why: "it is for the cluster volumes of Docker's swarm (make a new volume with other options)"}})},
		{Names: "secret", Group: "Work on secrets", Sub: []cmdkit.Entry{
			{Names: "create", New: secret.Create},
			{Names: "ls list", New: secret.List},
			{Names: "inspect", New: secret.Inspect},
			{Names: "rm remove", New: secret.Remove},
			{Names: "exists", New: secret.Exists},
		}},
		{Names: "network", Group: "Work on networks", Sub: []cmdkit.Entry{
			{Names: "create", New: network.Create},
			{Names: "ls list", New: network.List},
			{Names: "inspect", New: network.Inspect},
			{Names: "rm remove", New: network.Remove},
			{Names: "exists", New: network.Exists},
			{Names: "prune", New: network.Prune},
			{Names: "connect", New: network.Connect},
			{Names: "disconnect", New: network.Disconnect},
			{Names: "reload", New: network.Reload},
			{Names: "update", Later: true},
		}},
		{Names: "system", Group: "Look after the store and the user namespace", Sub: slices.Concat([]cmdkit.Entry{
			{Names: "check", New: system.Check},
			{Names: "df", New: system.DiskUsage},
			{Names: "prune", New: system.Prune},
			{Names: "reset", New: system.Reset},
			{Names: "migrate", New: system.Migrate},
			{Names: "events", New: system.Events, Also: true},
			{Names: "info", New: system.Info, Also: true, Place: cmdkit.Plain},
			{Names: "service", New: system.Service, Place: cmdkit.Composer},
		}, refused("its locks have no numbers: there is nothing to renumber", "renumber"), []cmdkit.Entry{
			{Names: "connection", Group: "Work on the names of services elsewhere", Sub: connectionVerbs()},
			{Names: "dial-stdio", New: remote.DialStdio, Place: cmdkit.Distant},
		})},
		{Names: "context", Group: "Work on the names of services elsewhere", Sub: contextVerbs()},
	}
}

// laterCommands are Docker's and Podman's that come with later issues.
var laterCommands = []string{"artifact", "auto-update", "config", "farm", "generate", "kube", "machine", "node", "play",
	"plugin", "pod", "quadlet", "remote", "service", "stack", "swarm", "trust"}

// later are commands that are known and say that they are not there yet.
func later(names ...string) []cmdkit.Entry {
	entries := make([]cmdkit.Entry, len(names))
	for i, name := range names {
		entries[i] = cmdkit.Entry{Names: name, Later: true}
	}
	return entries
}

// refused are commands that are known and will not be there.
func refused(why string, names ...string) []cmdkit.Entry {
	entries := later(names...)
	for i := range entries {
		entries[i].Why = why
	}
	return entries
}

// also are the verbs again as commands of a group, but for some that have another form there.
func also(verbs []cmdkit.Entry, without ...string) []cmdkit.Entry {
	verbs = slices.DeleteFunc(verbs, func(e cmdkit.Entry) bool { return slices.Contains(without, e.Name()) })
	for i := range verbs {
		verbs[i].Also = true
	}
	return verbs
}

// globalFlags move the store by the environment, so that companions and the user namespace's entry see it too.
func globalFlags(env *cmdkit.Env) []cli.Flag {
	version := cmdkit.Func("version v", "Print the version", func(string) error {
		env.ShowVersion = true
		return nil
	})
	version.Bool = true
	flags := append(cmdkit.GlobalFlags(env, os.Setenv), version)
	flags = append(flags, cmdkit.Refusals()...)
	return append(flags, cmdkit.Later(`network-config-dir`)...)
}

// showVersion answers --version.
func showVersion(env *cmdkit.Env) bool {
	if env.ShowVersion {
		fmt.Fprintf(env.Out, "%s version %s\n", env.Program, env.Version)
	}
	return env.ShowVersion
}

// prepare brings the process to where its command works.
func prepare(_ context.Context, env *cmdkit.Env, place cmdkit.Place) error {
	if place == cmdkit.Plain {
		return nil
	}
	// A companion enters by itself where it must; what the entry stub did has to be told to it.
	if place == cmdkit.Inside || rootless.Inside() {
		if err := rootless.Enter(rootless.EnterOptions{}); err != nil {
			return err
		}
	}
	var err error
	if env.Dirs, err = layout.Find(env.Getenv); err != nil || place == cmdkit.Inside {
		return err
	}
	path := companion(env.Dirs, place)
	if place == cmdkit.Builder && (rootless.Inside() || os.Geteuid() == 0) {
		// Here it costs nothing; the companion would have to start twice.
		return fmt.Errorf("start %s: %w (is wherry installed completely?)", path, rootless.ExecuteAlone(path, env.Args, os.Environ()))
	}
	return fmt.Errorf("start %s: %w (is wherry installed completely?)", path, syscall.Exec(path, env.Args, os.Environ()))
}

// companion is the binary that does the commands of a place.
func companion(dirs layout.Dirs, place cmdkit.Place) string {
	switch place {
	case cmdkit.Builder:
		return dirs.Build()
	case cmdkit.Composer:
		return dirs.Compose()
	case cmdkit.Distant:
		return dirs.Remote()
	}
	return dirs.Image()
}
