package shell

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/layout"
	"github.com/wherry-containers/wherry/pkg/store"
)

// filesFollow is the last line of an answer when the shell is to complete file names.
const filesFollow = ":files"

// complete answers a shell: words is the command line after the program's name, the last one unfinished, perhaps
// empty. Each line of the answer is a candidate, a tab and what it means.
func complete(ctx context.Context, env *cmdkit.Env, app *cmdkit.App, words []string) error {
	if len(words) == 0 {
		words = []string{""}
	}
	if entry, ok := elsewhere(env, app, words); ok {
		return app.Prepare(ctx, env, entry.Place)
	}
	_, err := env.Out.Write([]byte(strings.Join(Candidates(env, app, words), "\n") + "\n"))
	return err
}

// elsewhere finds the command whose words only its companion knows.
func elsewhere(env *cmdkit.Env, app *cmdkit.App, words []string) (cmdkit.Entry, bool) {
	c := completer{env: env}
	words = c.skipGlobal(app, words[:len(words)-1])
	if len(words) == 0 {
		return cmdkit.Entry{}, false
	}
	i := slices.IndexFunc(app.Entries, func(e cmdkit.Entry) bool {
		return e.Place == cmdkit.Composer && e.New != nil && slices.Contains(strings.Fields(e.Names), words[0])
	})
	if i < 0 || !app.Entries[i].New(env).SkipFlagParsing {
		return cmdkit.Entry{}, false
	}
	return app.Entries[i], true
}

// Candidates are the lines of complete's answer.
func Candidates(env *cmdkit.Env, app *cmdkit.App, words []string) []string {
	c := completer{env: env, current: words[len(words)-1]}
	words = words[:len(words)-1]
	words = c.skipGlobal(app, words)
	entries, top := app.Entries, true
	for _, word := range words {
		i := slices.IndexFunc(entries, func(e cmdkit.Entry) bool { return !e.Later && slices.Contains(strings.Fields(e.Names), word) })
		if i < 0 {
			return nil
		}
		words = words[1:]
		if entries[i].New != nil {
			return c.command(entries[i].New(env), words)
		}
		entries, top = entries[i].Sub, false
	}
	if top && strings.HasPrefix(c.current, "-") {
		return c.flags(app.Flags(env))
	}
	for _, e := range entries {
		if !e.Later && !(top && hidden(e, "")) {
			c.add(e.Name(), usage(env, e))
		}
	}
	return c.found
}

type completer struct {
	env     *cmdkit.Env
	current string
	found   []string
}

func (c *completer) add(word, meaning string) {
	if !strings.HasPrefix(word, c.current) {
		return
	}
	if meaning != "" {
		word += "\t" + meaning
	}
	c.found = append(c.found, word)
}

// skipGlobal drops the flags before the command.
func (c *completer) skipGlobal(app *cmdkit.App, words []string) []string {
	if len(words) == 0 || !strings.HasPrefix(words[0], "-") {
		return words
	}
	line, err := cmdkit.Normalise(app.Flags(c.env), words, true)
	if err != nil {
		return words
	}
	return line.Operands
}

func (c *completer) flags(flags []cli.Flag) []string {
	for _, doc := range cmdkit.DocumentFlags(flags) {
		for _, name := range doc.Names {
			if len(name) > 1 {
				c.add("--"+name, doc.Usage)
			}
		}
	}
	c.add("--help", "Show help")
	return c.found
}

// command completes a flag, the value of one, or an operand.
func (c *completer) command(cmd *cli.Command, words []string) []string {
	takesCommand := cmdkit.TakesCommand(cmd.ArgsUsage)
	line, err := cmdkit.Normalise(cmd.Flags, words, takesCommand)
	if err != nil && len(words) > 0 {
		// The last word is a flag that waits for its value.
		if doc, ok := flagNamed(cmd.Flags, words[len(words)-1]); ok {
			return c.values(doc.Value)
		}
		return nil
	}
	started := takesCommand && len(line.Operands) > 0
	if name, value, ok := strings.Cut(c.current, "="); ok && !started && strings.HasPrefix(name, "--") {
		if doc, ok := flagNamed(cmd.Flags, name); ok {
			c.current = value
			for i, word := range c.values(doc.Value) {
				if word != filesFollow {
					c.found[i] = name + "=" + word
				}
			}
		}
		return c.found
	}
	if strings.HasPrefix(c.current, "-") && !started && !slices.Contains(words, "--") {
		return c.flags(cmd.Flags)
	}
	return c.values(operandKind(cmd.ArgsUsage, len(line.Operands)))
}

func flagNamed(flags []cli.Flag, typed string) (cmdkit.FlagDoc, bool) {
	name := strings.TrimLeft(typed, "-")
	for _, doc := range cmdkit.DocumentFlags(flags) {
		short := !strings.HasPrefix(typed, "--") && name != "" && slices.Contains(doc.Names, name[len(name)-1:])
		if slices.Contains(doc.Names, name) || short {
			return doc, true
		}
	}
	return cmdkit.FlagDoc{}, false
}

// operandKind is the word of ArgsUsage that stands for operand number n.
func operandKind(argsUsage string, n int) string {
	words := strings.Fields(argsUsage)
	for i, word := range words {
		if i == n || strings.Contains(word, "...") || i == len(words)-1 && strings.Contains(argsUsage, "...") {
			return strings.Trim(word, "[].")
		}
	}
	return ""
}

// values completes by what a value is called in help.
func (c *completer) values(kind string) []string {
	switch base, _, _ := strings.Cut(kind, "["); {
	case strings.Contains(kind, "|"):
		for _, word := range strings.Split(kind, "|") {
			word, _, _ = strings.Cut(word, "[")
			if word != "TEMPLATE" {
				c.add(word, "")
			}
		}
	case base == "CONTAINER" || base == "OBJECT":
		c.containers()
	case base == "IMAGE":
		c.images()
	case base == "VOLUME":
		c.volumes()
	case base == "FILE" || base == "DIR" || base == "COMMAND" || base == "ARG" || base == "RUNTIME" || base == "PROGRAM":
		c.found = append(c.found, filesFollow)
	}
	return c.found
}

func (c *completer) containers() {
	if dirs, err := layout.Find(c.env.Getenv); err == nil {
		c.entries(dirs.ContainerNames())
	}
}

func (c *completer) volumes() {
	if dirs, err := layout.Find(c.env.Getenv); err == nil {
		c.entries(dirs.Volumes())
	}
}

func (c *completer) entries(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			c.add(e.Name(), "")
		}
	}
}

// images completes full names, and short ones of the default registry.
func (c *completer) images() {
	dirs, err := layout.Find(c.env.Getenv)
	if err != nil {
		return
	}
	images, _ := store.Open(dirs).Images(context.Background()) // a shell waits for us: there is nothing to cancel
	for _, img := range images {
		for _, name := range img.Names {
			short := strings.TrimPrefix(strings.TrimPrefix(name, "docker.io/"), "library/")
			c.add(short, "")
			if short != name && c.current != "" {
				c.add(name, "")
			}
		}
	}
}
