package compose

import (
	"os"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// maxValues bounds what the aliases of a Compose file may stand for. Files of people have some hundreds; one of a few lines
// can have billions, and Compose would take all of the machine's memory for them.
const maxValues = 100_000

// checkAliases refuses files whose aliases stand for too much. What else is wrong with a file is Compose's to tell.
func checkAliases(paths []string) error {
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), "*") {
			continue
		}
		var doc yaml.Node
		if yaml.Unmarshal(text, &doc) != nil {
			continue
		}
		if count(&doc, map[*yaml.Node]int{}) > maxValues {
			return errdefs.New(errdefs.ErrInvalid, "%s: its aliases stand for more than %d values", path, maxValues)
		}
	}
	return nil
}

// count is how many values a node stands for, at most a little more than maxValues; one that contains itself has no end.
func count(n *yaml.Node, known map[*yaml.Node]int) int {
	if total, ok := known[n]; ok {
		return total
	}
	known[n] = maxValues + 1 // for who meets it below itself
	total := 1
	if n.Alias != nil {
		total += count(n.Alias, known)
	}
	for _, child := range n.Content {
		if total += count(child, known); total > maxValues {
			break
		}
	}
	known[n] = min(total, maxValues+1)
	return known[n]
}

// locate says in which line of which file the fault lies that err tells, where Compose says only which key it is.
func locate(err error, paths []string) error {
	text := err.Error()
	f := findFault(text)
	for _, path := range paths {
		if f.file != "" && f.file != path {
			continue
		}
		content, readErr := os.ReadFile(path)
		if readErr != nil {
			continue
		}
		if line := f.line(content); line > 0 {
			return errdefs.New(errdefs.ErrInvalid, "%s:%d: %s", path, line, f.text)
		}
	}
	return err
}

// fault is what a message of Compose says about where something is wrong.
type fault struct {
	file string // empty: any
	key  string // services.web.ports
	text string // the message without the file
	yaml bool   // the file is not YAML
}

// findFault takes a message apart. A message that is not about a key has none.
func findFault(text string) fault {
	f := fault{text: text}
	if rest, ok := strings.CutPrefix(text, "decoding failed due to the following error(s):"); ok {
		f.text = strings.TrimSpace(rest)
	}
	if file, rest, ok := cutFile(f.text, "validating ", ": "); ok {
		f.file, f.text = file, strings.TrimSpace(rest)
		f.key, rest, _ = strings.Cut(f.text, " ")
		if f.key == "additional" {
			f.key, rest = "", f.text
		}
		if _, name, ok := strings.Cut(rest, "additional properties '"); ok {
			name, _, _ = strings.Cut(name, "'")
			f.key = strings.TrimPrefix(f.key+"."+name, ".")
			f.text = f.key + " is not a key of Compose files"
		}
		if before, ok := strings.CutSuffix(f.text, " false schema"); ok {
			f.text = before + " is not a key of Compose files"
		}
		return f
	}
	if file, rest, ok := cutFile(f.text, "failed to parse ", ": "); ok {
		f.file, f.text = file, rest
	}
	f.yaml = strings.HasPrefix(f.text, "go-yaml ") || strings.HasPrefix(f.text, "yaml: ")
	for _, start := range []string{"interpolating ", "interpolation format for ", "'services["} {
		if _, rest, ok := strings.Cut(f.text, start); ok {
			if start == "'services[" {
				rest = "services." + strings.Replace(rest, "]", "", 1)
			}
			f.key = strings.TrimRight(rest[:strings.IndexAny(rest+" ", " :'\n")], ".")
			return f
		}
	}
	if rest, ok := strings.CutPrefix(f.text, "service \""); ok {
		name, about, _ := strings.Cut(rest, "\" ")
		f.key = "services." + name
		for _, kind := range []string{"volume", "network", "secret", "config"} {
			if strings.HasPrefix(about, "refers to undefined "+kind+" ") {
				f.key += "." + kind + "s"
			}
		}
		if strings.HasPrefix(about, "depends on ") {
			f.key += ".depends_on"
		}
		f.text = strings.TrimSuffix(f.text, ": invalid compose project")
	}
	return f
}

// cutFile takes the name of a file off a text that begins with start.
func cutFile(text, start, end string) (file, rest string, ok bool) {
	if text, ok = strings.CutPrefix(text, start); !ok {
		return "", "", false
	}
	return strings.Cut(text, end)
}

// line is where the fault is in a file, 0 if not there.
func (f fault) line(content []byte) int {
	var doc yaml.Node
	err := yaml.Unmarshal(content, &doc)
	switch {
	case f.yaml && err != nil:
		return lineOf(err.Error())
	case f.yaml:
		return lineOf(f.text)
	case f.key == "" || err != nil || len(doc.Content) == 0:
		return 0
	}
	return lineOfKey(doc.Content[0], f.key)
}

// lineOf reads the first line number of a message of the YAML library.
func lineOf(text string) int {
	for _, start := range []string{" L", "line "} {
		for rest := text; ; {
			var ok bool
			if _, rest, ok = strings.Cut(rest, start); !ok {
				break
			}
			digits := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
			if n, err := strconv.Atoi(digits); err == nil && n > 0 {
				return n
			}
		}
	}
	return 0
}

// lineOfKey is the line of a key: services.web.ports, or of the last part of it that is there below the second. A key may have
// dots of its own.
func lineOfKey(n *yaml.Node, key string) int {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		return 0
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i]
		if name.Value == key {
			return name.Line
		}
		if rest, ok := strings.CutPrefix(key, name.Value+"."); ok && name.Value != "" {
			if line := lineOfKey(n.Content[i+1], rest); line > 0 {
				return line
			}
			if !strings.HasPrefix(key, "services.") { // what is in a service, if not the key itself
				return name.Line
			}
		}
	}
	return 0
}
