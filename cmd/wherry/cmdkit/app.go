package cmdkit

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// Entry is one line of a command table. A command's constructor runs only when the command, or help that lists
// it, is asked for: a table of hundreds of commands costs nothing at start-up.
type Entry struct {
	Names string                      // "ls list ps": the name, then aliases
	New   func(env *Env) *cli.Command // nil for a group and for a command that is not there yet
	Sub   []Entry                     // of a group
	Group string                      // heading in the program's help, or the usage line of a group
	Place Place                       // what has to be done before the command runs
	Later bool                        // known, but not there yet
	Why   string                      // with Later: it will not be there, and why, or what to use in its place
	Also  bool                        // a second place of a command listed elsewhere: no man page of its own
}

// Place is where a command runs.
type Place int

// Most commands work on the store, inside the user namespace; Plain ones do not touch it; the others are done by a
// companion binary, which gets the same arguments: Companion ones by wherry-image, Builder ones by wherry-build,
// Composer ones (Compose, and the service of Docker's API) by wherry-compose, and Distant ones, about services elsewhere,
// by wherry-remote.
const (
	Inside Place = iota
	Plain
	Companion
	Builder
	Composer
	Distant
)

// Name is the entry's first name.
func (e Entry) Name() string {
	name, _, _ := strings.Cut(e.Names, " ")
	return name
}

// Refusal is what to say to somebody who typed a command that is not there.
func (e Entry) Refusal(typed string) string {
	if e.Why != "" {
		return quote(typed) + " is not supported by wherry: " + e.Why
	}
	return quote(typed) + " is not there yet"
}

func (e Entry) has(name string) bool {
	for _, n := range strings.Fields(e.Names) {
		if n == name {
			return true
		}
	}
	return false
}

// App is a whole command line.
type App struct {
	Summary string
	Entries []Entry
	Flags   func(env *Env) []cli.Flag // global flags, before the command
	// Prepare is called before a command's Action, once its command line is known to make sense.
	Prepare func(ctx context.Context, env *Env, place Place) error
	// Elsewhere is called before a command's own flags are read; true: another machine has done it. nil: all is done here.
	Elsewhere func(env *Env, entry Entry, path string) (bool, error)
	// Words is called with what follows the global flags; true: it was all that is to be done. nil: the table decides.
	Words func(env *Env, words []string) (bool, error)
	// Default runs when there is no command; nil shows help. It reports whether it did anything.
	Default func(env *Env) bool
}

// docker is the other name that we answer to, ComposeName the one that stands for our command compose.
const (
	docker      = "docker"
	ComposeName = "docker-compose"
)

// IsCompose tells whether argv[0] is that of somebody who wants Compose, or of the docker command line that has us as its
// plugin.
func IsCompose(argv0 string) bool { return filepath.Base(argv0) == ComposeName }

// Program is what argv[0] makes of us: docker when called so, else fallback.
func Program(argv0, fallback string) string {
	if filepath.Base(argv0) == docker {
		return docker
	}
	return fallback
}

// Run runs the command that env.Args asks for. It never exits and prints no error (see Report).
func (a *App) Run(ctx context.Context, env *Env) error {
	global := a.Flags(env)
	line, err := Normalise(global, env.Args[1:], true)
	if err != nil {
		return err
	}
	if line.Help {
		return a.help(env, nil)
	}
	if len(line.Flags) > 0 {
		if err := parse(ctx, &cli.Command{Name: "global", Flags: global}, Line{Flags: line.Flags}); err != nil {
			return err
		}
	}
	if len(line.Operands) == 0 {
		if a.Default != nil && a.Default(env) {
			return nil
		}
		return a.help(env, nil)
	}
	if a.Words != nil {
		if done, err := a.Words(env, line.Operands); done || err != nil {
			return err
		}
	}
	return a.dispatch(ctx, env, line.Operands)
}

// dispatch walks the table along the words of the command line.
func (a *App) dispatch(ctx context.Context, env *Env, words []string) error {
	if words[0] == "help" {
		return a.help(env, words[1:])
	}
	entries, path := a.Entries, ""
	for {
		entry, err := find(entries, words[0], path)
		if err != nil {
			return err
		}
		path = strings.TrimSpace(path + " " + entry.Name())
		words = words[1:]
		switch {
		case entry.Later:
			return Usagef("%s", entry.Refusal(env.Program+" "+path))
		case entry.New != nil:
			if a.Elsewhere != nil {
				if done, err := a.Elsewhere(env, entry, path); done || err != nil {
					return err
				}
			}
			return a.runEntry(ctx, env, entry, path, words)
		case len(words) == 0 || words[0] == "--help" || words[0] == "-h":
			return printGroupHelp(env, entry, path)
		}
		entries = entry.Sub
	}
}

func find(entries []Entry, word, path string) (Entry, error) {
	for _, e := range entries {
		if e.has(word) {
			return e, nil
		}
	}
	if strings.HasPrefix(word, "-") {
		return Entry{}, &UsageError{Text: "unknown flag " + quote(word) + ": a command comes first", Command: path}
	}
	var names []string
	for _, e := range entries {
		if !e.Later {
			names = append(names, strings.Fields(e.Names)...)
		}
	}
	text := "unknown command " + quote(strings.TrimSpace(path+" "+word)) + Suggest(word, names, strings.TrimLeft(path+" ", " "))
	return Entry{}, &UsageError{Text: text, Command: path, Words: true}
}

func quote(s string) string { return `"` + s + `"` }

func (a *App) runEntry(ctx context.Context, env *Env, entry Entry, path string, args []string) error {
	cmd := entry.New(env)
	err := a.runCommand(ctx, env, entry, cmd, path, args)
	var usage *UsageError
	if errors.As(err, &usage) && usage.Command == "" {
		usage.Command = path
	}
	return err
}

func (a *App) runCommand(ctx context.Context, env *Env, entry Entry, cmd *cli.Command, path string, args []string) error {
	line := Line{Operands: args}
	if !cmd.SkipFlagParsing {
		var err error
		if line, err = Normalise(cmd.Flags, args, TakesCommand(cmd.ArgsUsage)); err != nil {
			return err
		}
		if line.Help {
			return printCommandHelp(env, cmd, entry, path)
		}
		if err := checkOperands(env.Program+" "+path, cmd.ArgsUsage, line.Operands); err != nil {
			return err
		}
	}
	action := cmd.Action
	cmd.Action = func(c *cli.Context) error {
		if a.Prepare != nil {
			if err := a.Prepare(ctx, env, entry.Place); err != nil {
				return err
			}
		}
		return action(c)
	}
	return parse(ctx, cmd, line)
}

// parse hands one command with normalised arguments to the CLI library, which binds the flags and calls Action.
func parse(ctx context.Context, cmd *cli.Command, line Line) error {
	if cmd.Action == nil {
		cmd.Action = func(*cli.Context) error { return nil }
	}
	cmd.HideHelp = true
	cmd.Subcommands = nil
	cmd.Flags = line.used(cmd.Flags)
	cmd.OnUsageError = func(_ *cli.Context, err error, _ bool) error { return flagError(err, line.typed) }
	app := &cli.App{
		Name: "wherry", Commands: []*cli.Command{cmd}, HideHelp: true, HideVersion: true,
		Compiled:                  time.Unix(1, 0), // else the library stats our binary
		DisableSliceFlagSeparator: true,
		ExitErrHandler:            func(*cli.Context, error) {},
		OnUsageError:              cmd.OnUsageError,
	}
	args := line.Args()
	if cmd.SkipFlagParsing {
		args = line.Operands
	}
	return app.RunContext(ctx, append([]string{"wherry", cmd.Name}, args...))
}

// flagError rewrites package flag's `invalid value "12q" for flag -memory: TEXT` into ours, with the flag as typed.
func flagError(err error, typed map[string]string) error {
	quoted, rest, ok := strings.Cut(strings.TrimPrefix(err.Error(), "invalid value "), " for flag -")
	if !ok { // a switch with a value of its own
		quoted, rest, ok = strings.Cut(strings.TrimPrefix(err.Error(), "invalid boolean value "), " for -")
	}
	if !ok {
		return Usagef("%s", err)
	}
	name, text, _ := strings.Cut(rest, ": ")
	flag := "--" + name
	if value, err := strconv.Unquote(quoted); err == nil && typed[flag+"="+value] != "" {
		flag = typed[flag+"="+value]
	}
	return Usagef("invalid %s %s: %s", flag, quoted, text)
}
