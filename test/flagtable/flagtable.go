// Package flagtable makes docs/flags.md: each flag of Docker and Podman, and the test that shows that it works here, or
// what is said to somebody who uses it.
package flagtable

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Flag is one flag of the reference.
type Flag struct {
	Name   string // without dashes
	Letter string
	Of     []string // docker, podman
}

// Command is one command of the reference with its flags, by name.
type Command struct {
	Path  string
	Flags []*Flag
}

// Reference reads what Docker and Podman have: dir/docker.txt and dir/podman.txt, lines "COMMAND: --flag/-f ...".
func Reference(dir string) ([]*Command, error) {
	var commands []*Command
	for _, of := range []string{"docker", "podman"} {
		data, err := os.ReadFile(filepath.Join(dir, of+".txt"))
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(data)) {
			path, flags, ok := strings.Cut(strings.TrimSpace(line), ":")
			if !ok || strings.HasPrefix(line, "#") {
				continue
			}
			i := slices.IndexFunc(commands, func(c *Command) bool { return c.Path == path })
			if i < 0 {
				i, commands = len(commands), append(commands, &Command{Path: path})
			}
			for _, word := range strings.Fields(flags) {
				commands[i].add(word, of)
			}
		}
	}
	for _, c := range commands {
		slices.SortFunc(c.Flags, func(a, b *Flag) int { return strings.Compare(a.Name, b.Name) })
	}
	slices.SortStableFunc(commands, func(a, b *Command) int { return strings.Compare(group(a.Path), group(b.Path)) })
	return commands, nil
}

// group orders the commands: those of containers, then the groups, then what goes before a command.
func group(path string) string {
	word, _, nested := strings.Cut(path, " ")
	switch {
	case path == "(global)":
		return "2"
	case nested:
		return "1" + word
	}
	return "0"
}

func (c *Command) add(word, of string) {
	long, letter, _ := strings.Cut(strings.TrimPrefix(word, "--"), "/")
	letter = strings.TrimLeft(letter, "-")
	i := slices.IndexFunc(c.Flags, func(f *Flag) bool { return f.Name == long })
	if i < 0 {
		i, c.Flags = len(c.Flags), append(c.Flags, &Flag{Name: long})
	}
	f := c.Flags[i]
	if len(letter) > 1 { // a second long name
		c.add("--"+letter, of)
		letter = ""
	}
	f.Of = append(f.Of, of)
	if f.Letter == "" {
		f.Letter = letter
	}
}

// Marks are the names of the tests that prove a flag, by command and flag; the flag "" is the command itself.
type Marks map[string]map[string][]string

var (
	mark    = regexp.MustCompile(`^\s*(?://|#) flag: (.*?)(\s--.*)?$`)
	goTest  = regexp.MustCompile(`^func (Test\w+)\(`)
	sources = []string{"_test.go", ".txtar", ".sh"}
)

// Collect finds the markers in the tests below root: a line "// flag: COMMAND[, COMMAND] --flag --flag" in or above a test
// function, or "# flag: ..." in a script.
func Collect(root string) (Marks, error) {
	marks := Marks{}
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{".git", "bin", "dist", "flagtable"}, entry.Name()):
			return filepath.SkipDir
		case slices.ContainsFunc(sources, func(end string) bool { return strings.HasSuffix(path, end) }):
			name, _ := filepath.Rel(root, path)
			return marks.file(path, name)
		}
		return nil
	})
	return marks, err
}

func (m Marks) file(path, name string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	inGo := strings.HasSuffix(path, ".go")
	current := name
	if inGo {
		current = ""
	}
	var waiting []string
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if found := mark.FindStringSubmatch(line); found != nil {
			if current == "" {
				waiting = append(waiting, line)
			} else {
				m.add(found[1], found[2], current)
			}
		}
		if !inGo {
			continue
		}
		if found := goTest.FindStringSubmatch(line); found != nil {
			current = found[1]
			for _, line := range waiting {
				found := mark.FindStringSubmatch(line)
				m.add(found[1], found[2], current)
			}
			waiting = nil
		} else if line == "}" {
			current = ""
		}
	}
	if len(waiting) > 0 {
		return fmt.Errorf("%s: no test follows %q", name, strings.TrimSpace(waiting[0]))
	}
	return lines.Err()
}

func (m Marks) add(commands, flags, test string) {
	for _, path := range strings.Split(commands, ",") {
		path = strings.TrimSpace(path)
		if m[path] == nil {
			m[path] = map[string][]string{}
		}
		names := strings.Fields(flags)
		if len(names) == 0 {
			names = []string{""}
		}
		for _, name := range names {
			name = strings.TrimLeft(name, "-")
			if !slices.Contains(m[path][name], test) {
				m[path][name] = append(m[path][name], test)
				slices.Sort(m[path][name])
			}
		}
	}
}
