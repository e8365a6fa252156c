// Package shell makes what shells and man read from the command table: completions and man pages.
package shell

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
)

// Entries are the commands of this package: completion, and the hidden ones that scripts and make use.
func Entries(app *cmdkit.App) []cmdkit.Entry {
	return []cmdkit.Entry{
		{Names: "completion", Group: "System", Place: cmdkit.Plain, New: completion},
		{Names: "__complete", Place: cmdkit.Plain, New: func(env *cmdkit.Env) *cli.Command {
			return &cli.Command{Name: "__complete", ArgsUsage: "[WORD...]", SkipFlagParsing: true,
				Action: func(c *cli.Context) error { return complete(c.Context, env, app, c.Args().Slice()) }}
		}},
		{Names: "generate-docs", Place: cmdkit.Plain, New: func(env *cmdkit.Env) *cli.Command {
			return &cli.Command{Name: "generate-docs", Usage: "Write man pages and completions", ArgsUsage: "MAN-DIR COMPLETIONS-DIR",
				Action: func(c *cli.Context) error { return Generate(env, app, c.Args().Get(0), c.Args().Get(1)) }}
		}},
	}
}

func completion(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "completion", Usage: "Print the completion script of a shell", ArgsUsage: "bash|zsh|fish",
		Description: "Put it where the shell looks for it, or load it at once, as in: source <(wherry completion bash)",
		Action: func(c *cli.Context) error {
			script, ok := scripts(env.Program)[c.Args().First()]
			if !ok {
				return cmdkit.Usagef("there is no completion for %q, only for bash, zsh and fish", c.Args().First())
			}
			_, err := env.Out.Write([]byte(script))
			return err
		},
	}
}

// Generate writes a man page per command and the completion scripts. What is in the way by an older table goes.
func Generate(env *cmdkit.Env, app *cmdkit.App, manDir, completionDir string) error {
	plain := *env
	plain.Program = "wherry"
	pages := Pages(&plain, app)
	for dir, files := range map[string]map[string]string{manDir: pages, completionDir: ScriptFiles()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				return err
			}
		}
	}
	old, err := filepath.Glob(filepath.Join(manDir, "wherry*.1"))
	for _, path := range old {
		if _, ok := pages[filepath.Base(path)]; !ok {
			err = os.Remove(path)
		}
	}
	return err
}

// ScriptFiles are the completion scripts by their file names.
func ScriptFiles() map[string]string {
	s := scripts("wherry")
	return map[string]string{"wherry.bash": s["bash"], "_wherry": s["zsh"], "wherry.fish": s["fish"]}
}

// Pages are the man pages by their file names.
func Pages(env *cmdkit.Env, app *cmdkit.App) map[string]string {
	pages := map[string]string{"wherry.1": mainPage(env, app)}
	walk(app.Entries, "", func(path string, e cmdkit.Entry) {
		name := "wherry-" + strings.ReplaceAll(path, " ", "-")
		switch {
		case e.New == nil:
			pages[name+".1"] = groupPage(env, e, path)
		case e.Also:
			pages[name+".1"] = ".so man1/wherry-" + e.Name() + ".1\n"
		default:
			pages[name+".1"] = commandPage(env, e, path)
		}
	})
	return pages
}

// walk visits every visible command and group.
func walk(entries []cmdkit.Entry, path string, visit func(path string, e cmdkit.Entry)) {
	for _, e := range entries {
		if e.Later || hidden(e, path) {
			continue
		}
		full := strings.TrimSpace(path + " " + e.Name())
		visit(full, e)
		walk(e.Sub, full, visit)
	}
}

// hidden commands have no heading at the top of the table.
func hidden(e cmdkit.Entry, path string) bool { return path == "" && e.Group == "" }

func mainPage(env *cmdkit.Env, app *cmdkit.App) string {
	p := newPage("wherry", strings.TrimPrefix(app.Summary, "wherry ")) // man prints the name before it
	p.section("SYNOPSIS")
	p.line(".B wherry\n[\\fIFLAGS\\fR] \\fICOMMAND\\fR [\\fIARGS\\fR]")
	p.section("COMMANDS")
	walk(app.Entries, "", func(path string, e cmdkit.Entry) {
		if !e.Also {
			p.item("\\fB"+escape("wherry "+path)+"\\fR", usage(env, e))
		}
	})
	p.section("FLAGS")
	p.flags(app.Flags(env))
	p.section("EXIT STATUS")
	p.item("125", "An error of wherry itself.")
	p.item("126", "The command of the container cannot be executed.")
	p.item("127", "The command of the container was not found.")
	p.item("128+N", "The container was ended by signal N.")
	return p.String()
}

func usage(env *cmdkit.Env, e cmdkit.Entry) string {
	if e.New == nil {
		return e.Group
	}
	return e.New(env).Usage
}

func groupPage(env *cmdkit.Env, e cmdkit.Entry, path string) string {
	p := newPage("wherry-"+strings.ReplaceAll(path, " ", "-"), e.Group)
	p.section("SYNOPSIS")
	p.line(".B " + escape("wherry "+path) + "\n\\fICOMMAND\\fR [\\fIARGS\\fR]")
	p.section("COMMANDS")
	for _, sub := range e.Sub {
		if !sub.Later {
			p.item("\\fB"+escape(sub.Name())+"\\fR", usage(env, sub))
		}
	}
	return p.String()
}

func commandPage(env *cmdkit.Env, e cmdkit.Entry, path string) string {
	cmd := e.New(env)
	p := newPage("wherry-"+strings.ReplaceAll(path, " ", "-"), cmd.Usage)
	p.section("SYNOPSIS")
	synopsis := ".B " + escape("wherry "+path)
	if len(cmdkit.DocumentFlags(cmd.Flags)) > 0 {
		synopsis += "\n[\\fIFLAGS\\fR]"
	}
	p.line(synopsis + "\n" + escape(cmd.ArgsUsage))
	if cmd.Description != "" {
		p.section("DESCRIPTION")
		p.line(escape(strings.TrimSpace(cmd.Description)))
	}
	if names := strings.Fields(e.Names); len(names) > 1 {
		p.section("ALIASES")
		p.line(escape(strings.Join(names[1:], ", ")))
	}
	if len(cmdkit.DocumentFlags(cmd.Flags)) > 0 {
		p.section("FLAGS")
		p.flags(cmd.Flags)
	}
	p.section("SEE ALSO")
	p.line(".BR wherry (1)")
	return p.String()
}

// page is a man page in the making.
type page struct{ strings.Builder }

func newPage(name, summary string) *page {
	p := &page{}
	fmt.Fprintf(p, ".\\\" Generated from the command table by make docs.\n.TH %q 1 \"\" \"wherry\" \"User commands\"\n", strings.ToUpper(name))
	p.section("NAME")
	p.line(escape(name) + " \\- " + escape(summary))
	return p
}

func (p *page) section(title string)   { p.WriteString(".SH " + title + "\n") }
func (p *page) line(text string)       { p.WriteString(strings.TrimRight(text, "\n") + "\n") }
func (p *page) item(term, text string) { p.WriteString(".TP\n" + term + "\n" + escape(text) + "\n") }
func (p *page) flags(flags []cli.Flag) {
	docs := cmdkit.DocumentFlags(flags)
	sort.Slice(docs, func(i, j int) bool { return docs[i].Names[0] < docs[j].Names[0] })
	for _, doc := range docs {
		var names []string
		for _, name := range doc.Names {
			dashes := "--"
			if len(name) == 1 {
				dashes = "-"
			}
			names = append(names, "\\fB"+escape(dashes+name)+"\\fR")
		}
		term := strings.Join(names, ", ")
		if doc.Value != "" {
			term += " \\fI" + escape(doc.Value) + "\\fR"
		}
		text := doc.Usage
		if doc.Default != "" {
			text += " (default " + doc.Default + ")"
		}
		p.item(term, text)
	}
}

// escape makes text safe for roff: backslashes, dashes, and lines that look like requests.
func escape(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}
