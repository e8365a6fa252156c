package build

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod/values"
	"github.com/wherry-containers/wherry/pkg/builders"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

// Builders are the commands of buildx about builders, which are settings here.
func Builders() []cmdkit.Entry {
	return []cmdkit.Entry{
		{Names: "create", New: createBuilder, Place: cmdkit.Plain},
		{Names: "use", New: useBuilder, Place: cmdkit.Plain},
		{Names: "inspect", New: inspectBuilder, Place: cmdkit.Plain},
		{Names: "ls", New: listBuilders, Place: cmdkit.Plain},
		{Names: "rm", New: removeBuilder, Place: cmdkit.Plain},
		{Names: "stop", New: stopBuilder, Place: cmdkit.Plain},
		{Names: "version", New: builderVersion, Place: cmdkit.Plain},
	}
}

// driver is the only one there is.
const driver = "wherry"

func createBuilder(env *cmdkit.Env) *cli.Command {
	var b builders.Builder
	var use bool
	platform := cmdkit.Func("platform", "Builds that name no platform are for `OS/ARCH[/VARIANT]`, or several, separated by commas", func(text string) error {
		for _, one := range strings.Split(text, ",") {
			if _, err := option.ParsePlatform(one); err != nil {
				return err
			}
			b.Platforms = append(b.Platforms, one)
		}
		return nil
	})
	flags := []cli.Flag{
		cmdkit.String(&b.Name, "name", "Call it `NAME`"),
		cmdkit.Func("driver", "How it builds: `wherry`, in the process of each build", func(text string) error {
			if text != driver {
				return fmt.Errorf("driver %q needs a daemon elsewhere; wherry builds in the process of each build (--driver %s)", text, driver)
			}
			return nil
		}),
		cmdkit.Func("driver-opt", "Setting of its builds: `jobs=NUMBER`, steps at a time", func(text string) (err error) {
			number, ok := strings.CutPrefix(text, "jobs=")
			if !ok {
				return fmt.Errorf("jobs=NUMBER is expected")
			}
			b.Jobs, err = values.Count(number)
			return err
		}),
		platform, cmdkit.Bool(&use, "use", "Make it the current one"),
	}
	flags = append(flags, cmdkit.Refused("node append leave", "a builder is this machine alone")...)
	flags = append(flags, cmdkit.Refused("bootstrap buildkitd-flags", "there is no daemon to start")...)
	flags = append(flags, cmdkit.Refused("buildkitd-config config", "mirrors of registries are in registries.conf, and the number of steps is --driver-opt jobs=NUMBER")...)
	return &cli.Command{
		Name: "create", Usage: "Make a builder: settings of builds by a name", Flags: flags,
		Action: func(*cli.Context) error {
			if b.Name == "" {
				return cmdkit.Usagef("what is it called? Give --name NAME")
			}
			dir := builders.Open(env.Getenv)
			if err := dir.Put(b); err != nil {
				return err
			}
			if use {
				if err := dir.Use(b.Name); err != nil {
					return err
				}
			}
			_, err := fmt.Fprintln(env.Out, b.Name)
			return err
		},
	}
}

func useBuilder(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "use", Usage: "Make a builder the current one", ArgsUsage: "NAME",
		Flags:  cmdkit.Refused("default global", "there is one current builder, for all that a user builds"),
		Action: func(c *cli.Context) error { return builders.Open(env.Getenv).Use(c.Args().First()) },
	}
}

func inspectBuilder(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "inspect", Usage: "Show a builder, the current one if none is named", ArgsUsage: "[NAME]",
		Flags: cmdkit.Refused("bootstrap", "there is no daemon to start"),
		Action: func(c *cli.Context) error {
			b, err := builders.Open(env.Getenv).Chosen(c.Args().First(), env.Getenv)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(env.Out, "Name:      %s\nDriver:    %s\nPlatforms: %s\nJobs:      %s\n", b.Name, driver, platformsOf(b), jobsOf(b))
			return err
		},
	}
}

func platformsOf(b builders.Builder) string {
	if len(b.Platforms) == 0 {
		return "linux/" + runtime.GOARCH
	}
	return strings.Join(b.Platforms, ", ")
}

func jobsOf(b builders.Builder) string {
	if b.Jobs == 0 {
		return "as many as there are processors"
	}
	return strconv.Itoa(b.Jobs)
}

func listBuilders(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "ls", Usage: "List builders; the current one has a star",
		Action: func(*cli.Context) error {
			dir := builders.Open(env.Getenv)
			names, err := dir.Names()
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(env.Out, 0, 0, 3, ' ', 0)
			fmt.Fprintln(w, "NAME\tDRIVER\tPLATFORMS")
			now := dir.Current()
			for _, name := range names {
				b, err := dir.Get(name)
				if err != nil {
					env.Warn(err.Error())
					continue
				}
				if name == now {
					name += "*"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\n", name, driver, platformsOf(b))
			}
			return w.Flush()
		},
	}
}

func removeBuilder(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "rm", Usage: "Remove builders; what was built stays", ArgsUsage: "NAME...",
		Action: func(c *cli.Context) error {
			for _, name := range c.Args().Slice() {
				if err := builders.Open(env.Getenv).Remove(name); err != nil {
					return err
				}
				fmt.Fprintln(env.Out, name+" removed")
			}
			return nil
		},
	}
}

func stopBuilder(*cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "stop", Usage: "Not needed: a builder is no daemon", ArgsUsage: "[NAME]",
		Action: func(*cli.Context) error {
			return errdefs.New(errdefs.ErrUnsupported, "there is nothing to stop: a builder is no daemon, each build ends by itself")
		},
	}
}

func builderVersion(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "version", Usage: "Print the version",
		Action: func(*cli.Context) error {
			_, err := fmt.Fprintln(env.Out, env.Program, env.Version, env.Commit)
			return err
		},
	}
}

// withBuilder lets the chosen builder say what the command line does not.
func (b *builder) withBuilder(getenv func(string) string) error {
	chosen, err := builders.Open(getenv).Chosen(b.named, getenv)
	if err != nil {
		return err
	}
	if len(b.opts.Platforms) == 0 {
		b.opts.Platforms = chosen.Platforms
	}
	if b.opts.Jobs == 0 {
		b.opts.Jobs = chosen.Jobs
	}
	return nil
}
