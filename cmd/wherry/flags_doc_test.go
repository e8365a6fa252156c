package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/test/flagtable"
)

const flagsPage = "../../docs/flags.md"

// docs/flags.md is what the command table, the reference and the marks in the tests give, and no flag of Docker or Podman is
// left without a test of its effect or an error that says why not. UPDATE_FLAGS=1 writes the page (make docs).
func TestFlagTable(t *testing.T) {
	sections := flagSections(t)
	page := flagtable.Render(sections)
	if os.Getenv("UPDATE_FLAGS") != "" {
		if err := os.WriteFile(flagsPage, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if have, err := os.ReadFile(flagsPage); err != nil || string(have) != page {
		t.Errorf("docs/flags.md is stale: run make docs")
	}
	for _, s := range sections {
		if s.Missing != "" {
			continue
		}
		var open []string
		for i := range s.Rows {
			if !s.Rows[i].Proven() {
				open = append(open, "--"+s.Rows[i].Name)
			}
		}
		if len(open) > 0 {
			t.Errorf("%s: neither a test nor a clear error: %s", s.Path, strings.Join(open, " "))
		}
	}
}

func flagSections(t *testing.T) []flagtable.Section {
	commands, err := flagtable.Reference("../../docs/reference")
	if err != nil {
		t.Fatal(err)
	}
	marks, err := flagtable.Collect("../..")
	if err != nil {
		t.Fatal(err)
	}
	checkMarks(t, marks)
	var sections []flagtable.Section
	for _, c := range commands {
		s := flagtable.Section{Path: c.Path, Tests: marks[c.Path][""]}
		flags, missing := flagsOf(c.Path)
		s.Missing = missing
		for _, f := range c.Flags {
			row := flagtable.Row{Flag: *f, Tests: marks[c.Path][f.Name]}
			if c.Path == "create" && len(row.Tests) == 0 {
				row.Tests = marks["run"][f.Name]
			}
			if ours := flags[f.Name]; ours != nil {
				row.Known, row.Refusal = true, ours.Refusal("--"+f.Name)
				row.Tests = append(slices.Clone(row.Tests), marks[c.Path][ours.Name]...)
				if c.Path == "create" && len(row.Tests) == 0 {
					row.Tests = slices.Clone(marks["run"][ours.Name])
				}
				slices.Sort(row.Tests)
				row.Tests = slices.Compact(row.Tests)
			}
			if missing == "" && f.Letter != "" && flags[f.Letter] == nil {
				t.Errorf("%s does not know -%s", c.Path, f.Letter)
			}
			s.Rows = append(s.Rows, row)
		}
		sections = append(sections, s)
	}
	return sections
}

// checkMarks says which marks name a command or a flag that is not there.
func checkMarks(t *testing.T, marks flagtable.Marks) {
	for path, flags := range marks {
		known, missing := flagsOf(path)
		for name, tests := range flags {
			if missing != "" || name != "" && known[name] == nil {
				t.Errorf("%v: there is no %s --%s", tests, path, name)
			}
		}
	}
}

// flagsOf is the flags of a command by each of their names, or what is said in place of a command that is not there.
func flagsOf(path string) (flags map[string]*cmdkit.Flag, missing string) {
	var list []cli.Flag
	if path == "(global)" {
		list = globalFlags(testEnv())
	} else {
		entries, entry := table().Entries, cmdkit.Entry{}
		for _, word := range strings.Fields(path) {
			i := slices.IndexFunc(entries, func(e cmdkit.Entry) bool { return slices.Contains(strings.Fields(e.Names), word) })
			if i < 0 {
				return nil, `"wherry ` + path + `" is not there`
			}
			entry, entries = entries[i], entries[i].Sub
			if entry.Later {
				return nil, entry.Refusal("wherry " + path)
			}
		}
		list = entry.New(testEnv()).Flags
	}
	flags = map[string]*cmdkit.Flag{}
	for _, f := range list {
		if ours, ok := f.(*cmdkit.Flag); ok {
			for _, name := range ours.Names() {
				flags[name] = ours
			}
		}
	}
	return flags, ""
}
