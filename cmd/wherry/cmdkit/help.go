package cmdkit

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// FlagDoc is a flag as help, man pages and completions show it.
type FlagDoc struct {
	Names   []string // without dashes, the long name first
	Value   string   // what follows, in capitals, or a|b; empty for a switch
	Usage   string
	Default string
	Slice   bool
}

// DocumentFlags lists the visible flags of a command by name.
func DocumentFlags(flags []cli.Flag) []FlagDoc {
	var docs []FlagDoc
	for _, f := range flags {
		if v, ok := f.(cli.VisibleFlag); ok && !v.IsVisible() {
			continue
		}
		doc, ok := f.(cli.DocGenerationFlag)
		if !ok {
			continue
		}
		value, usage := splitValue(doc.GetUsage())
		if doc.TakesValue() && value == "" {
			value = "VALUE"
		}
		if !doc.TakesValue() {
			value = ""
		}
		docs = append(docs, FlagDoc{Names: f.Names(), Value: value, Usage: usage, Default: doc.GetDefaultText()})
	}
	slices.SortStableFunc(docs, func(a, b FlagDoc) int { return strings.Compare(a.Names[0], b.Names[0]) })
	return docs
}

// splitValue takes the word in backquotes out of a usage line.
func splitValue(usage string) (value, text string) {
	before, rest, ok := strings.Cut(usage, "`")
	if !ok {
		return "", usage
	}
	value, after, ok := strings.Cut(rest, "`")
	if !ok {
		return "", usage
	}
	return value, before + value + after
}

// help is `wherry help [COMMAND...]`.
func (a *App) help(env *Env, words []string) error {
	if len(words) == 0 {
		return a.printHelp(env)
	}
	entries, path := a.Entries, ""
	for i, word := range words {
		entry, err := find(entries, word, path)
		if err != nil {
			return err
		}
		path = strings.TrimSpace(path + " " + entry.Name())
		switch {
		case entry.Later:
			return Usagef("%s", entry.Refusal(env.Program+" "+path))
		case entry.New != nil:
			return printCommandHelp(env, entry.New(env), entry, path)
		case i == len(words)-1:
			return printGroupHelp(env, entry, path)
		}
		entries = entry.Sub
	}
	return nil
}

// printHelp lists all commands under their headings, in the order of the table.
func (a *App) printHelp(env *Env) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nUsage: %s [FLAGS] COMMAND [ARGS]\n", a.Summary, env.Program)
	var order []string
	lines := map[string][][2]string{}
	for _, e := range a.Entries {
		heading := e.Group
		if e.New == nil {
			heading = "Groups of commands"
		}
		if e.Later || heading == "" {
			continue
		}
		if _, ok := lines[heading]; !ok {
			order = append(order, heading)
		}
		lines[heading] = append(lines[heading], [2]string{e.Name(), usageOf(env, e)})
	}
	for _, heading := range order {
		fmt.Fprintf(&b, "\n%s:\n", heading)
		writeColumns(&b, lines[heading])
	}
	b.WriteString("\nFlags:\n")
	writeFlags(&b, a.Flags(env))
	fmt.Fprintf(&b, "\nRun '%s COMMAND --help' for more about a command.\n", env.Program)
	_, err := io.WriteString(env.Out, b.String())
	return err
}

func usageOf(env *Env, e Entry) string {
	if e.New == nil {
		return e.Group
	}
	return e.New(env).Usage
}

func printGroupHelp(env *Env, group Entry, path string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nUsage: %s %s COMMAND [ARGS]\n\nCommands:\n", group.Group, env.Program, path)
	var lines [][2]string
	for _, e := range group.Sub {
		if !e.Later {
			lines = append(lines, [2]string{e.Name(), usageOf(env, e)})
		}
	}
	writeColumns(&b, lines)
	fmt.Fprintf(&b, "\nRun '%s %s COMMAND --help' for more about a command.\n", env.Program, path)
	_, err := io.WriteString(env.Out, b.String())
	return err
}

func printCommandHelp(env *Env, cmd *cli.Command, entry Entry, path string) error {
	var b strings.Builder
	flags := ""
	if len(DocumentFlags(cmd.Flags)) > 0 {
		flags = " [FLAGS]"
	}
	fmt.Fprintf(&b, "%s\n\nUsage: %s %s%s", cmd.Usage, env.Program, path, flags)
	if cmd.ArgsUsage != "" {
		b.WriteString(" " + cmd.ArgsUsage)
	}
	b.WriteString("\n")
	if cmd.Description != "" {
		b.WriteString("\n" + strings.TrimSpace(cmd.Description) + "\n")
	}
	if names := strings.Fields(entry.Names); len(names) > 1 {
		fmt.Fprintf(&b, "\nAliases: %s\n", strings.Join(names[1:], ", "))
	}
	if flags != "" {
		b.WriteString("\nFlags:\n")
		writeFlags(&b, cmd.Flags)
	}
	_, err := io.WriteString(env.Out, b.String())
	return err
}

func writeFlags(b *strings.Builder, flags []cli.Flag) {
	var lines [][2]string
	for _, doc := range DocumentFlags(flags) {
		usage := doc.Usage
		if doc.Default != "" {
			usage += " (default " + doc.Default + ")"
		}
		lines = append(lines, [2]string{flagColumn(doc), usage})
	}
	writeColumns(b, lines)
}

// flagColumn is "-e, --env NAME=VALUE", the short name in a column of its own.
func flagColumn(doc FlagDoc) string {
	short, long := "    ", ""
	for _, name := range doc.Names {
		if len(name) == 1 {
			short = "-" + name + ", "
			continue
		}
		if long != "" {
			long += ", "
		}
		long += "--" + name
	}
	switch {
	case doc.Value == "":
	case strings.ContainsAny(doc.Value, "| ") && strings.Contains(doc.Usage, doc.Value):
		long += " VALUE" // the usage lists them
	default:
		long += " " + doc.Value
	}
	return short + long
}

// writeColumns aligns the second column, no further right than column 32: a longer first one gets its own line.
func writeColumns(b *strings.Builder, lines [][2]string) {
	width := 0
	for _, l := range lines {
		if n := len(l[0]); n <= 30 {
			width = max(width, n)
		}
	}
	for _, l := range lines {
		if len(l[0]) > width {
			fmt.Fprintf(b, "  %s\n  %*s  %s\n", l[0], width, "", l[1])
			continue
		}
		fmt.Fprintf(b, "  %-*s  %s\n", width, l[0], l[1])
	}
}
