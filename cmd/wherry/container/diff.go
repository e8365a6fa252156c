package container

import (
	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/archive"
)

// Diff is `wherry diff`.
func Diff(env *cmdkit.Env) *cli.Command {
	var format string
	var latest bool
	return &cli.Command{
		Name: "diff", Usage: "Show which files a container added (A), changed (C) and deleted (D)", ArgsUsage: "[CONTAINER]",
		Flags: []cli.Flag{
			cmdkit.String(&format, "format", "Print as `json`, or by a Go template of .Kind and .Path"),
			cmdkit.Bool(&latest, "latest l", "The newest container"),
		},
		Action: func(c *cli.Context) error {
			e := engine(env)
			ref, rest, err := one(c.Context, e, latest, c.Args().Slice())
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return cmdkit.Usagef("diff takes --latest or a container, not %q too", rest[0])
			}
			changes, err := e.Diff(c.Context, ref)
			if err != nil {
				return err
			}
			return PrintChanges(env, changes, format)
		},
	}
}

// change is a row of diff.
type change struct{ Kind, Path string }

// changeLists is diff as json, with Podman's keys.
type changeLists struct {
	Changed []string `json:"changed,omitempty"`
	Added   []string `json:"added,omitempty"`
	Deleted []string `json:"deleted,omitempty"`
}

// PrintChanges prints what diff found.
func PrintChanges(env *cmdkit.Env, changes []archive.Change, format string) error {
	switch format {
	case "json":
		var doc changeLists
		lists := map[byte]*[]string{'A': &doc.Added, 'C': &doc.Changed, 'D': &doc.Deleted}
		for _, c := range changes {
			*lists[c.Kind] = append(*lists[c.Kind], c.Path)
		}
		return env.PrintOne(doc, "json")
	case "":
		text := make([]byte, 0, 64*len(changes))
		for _, c := range changes {
			text = append(append(append(text, c.Kind, ' '), cmdkit.Printable(c.Path)...), '\n')
		}
		_, err := env.Out.Write(text)
		return err
	}
	rows := make([]change, len(changes))
	for i, c := range changes {
		rows[i] = change{string(c.Kind), c.Path}
	}
	return env.Print(rows, format, "{{.Kind}}\t{{.Path}}")
}
