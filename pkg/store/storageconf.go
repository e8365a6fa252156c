package store

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// confPath is the storage.conf in force, by containers/storage's order; empty: none.
func confPath() string {
	if path := os.Getenv("CONTAINERS_STORAGE_CONF"); path != "" {
		return path
	}
	var candidates []string
	if dir := os.Getenv("XDG_CONFIG_HOME"); dir != "" {
		candidates = append(candidates, filepath.Join(dir, "containers/storage.conf"))
	} else if home := os.Getenv("HOME"); home != "" {
		candidates = append(candidates, filepath.Join(home, ".config/containers/storage.conf"))
	}
	candidates = append(candidates, "/etc/containers/storage.conf", "/usr/share/containers/storage.conf")
	for _, path := range candidates {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// additionalRoots are the graph roots of the additional stores. It is read once, and only when it is needed.
func (s *Store) additionalRoots() ([]string, error) {
	s.once.Do(func() {
		path := s.conf()
		if path == "" {
			return
		}
		data, err := os.ReadFile(path)
		if err != nil {
			if !absent(err) {
				s.confErr = err
			}
			return
		}
		stores, err := parseStorageConf(string(data))
		if err != nil {
			s.confErr = errdefs.New(errdefs.ErrInvalid, "%s: %v", path, err)
		}
		for _, root := range stores {
			root = os.ExpandEnv(root)
			if filepath.IsAbs(root) && filepath.Clean(root) != s.dirs.Graph() {
				s.additional = append(s.additional, filepath.Clean(root))
			}
		}
	})
	return s.additional, s.confErr
}

// parseStorageConf reads the one key that matters to us, additionalimagestores in [storage.options], out of a TOML
// file. It is not a TOML parser: all else is passed over. (The library costs 0.1 ms at every start.)
func parseStorageConf(text string) ([]string, error) {
	table := ""
	for text != "" {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			header, _, _ := strings.Cut(line[1:], "]")
			table = normalKey(header)
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		if strings.Trim(table+"."+normalKey(key), ".") == "storage.options.additionalimagestores" {
			return parseArray(value + "\n" + text)
		}
	}
	return nil, nil
}

// normalKey removes the blanks and quotes that TOML allows around the parts of a key.
func normalKey(s string) string {
	parts := strings.Split(s, ".")
	for i, p := range parts {
		parts[i] = strings.Trim(strings.TrimSpace(p), `"'`)
	}
	return strings.Join(parts, ".")
}

// parseArray reads a TOML array of strings, which may go over several lines and hold comments.
func parseArray(s string) ([]string, error) {
	bad := errdefs.New(errdefs.ErrInvalid, "additionalimagestores is not a list of strings")
	s = strings.TrimLeft(s, " \t")
	if !strings.HasPrefix(s, "[") {
		return nil, bad
	}
	list := []string{}
	for s = s[1:]; s != ""; {
		switch s[0] {
		case ' ', '\t', '\r', '\n', ',':
			s = s[1:]
		case '#':
			_, s, _ = strings.Cut(s, "\n")
		case ']':
			return list, nil
		case '\'':
			value, rest, ok := strings.Cut(s[1:], "'")
			if !ok || strings.Contains(value, "\n") {
				return nil, bad
			}
			list, s = append(list, value), rest
		case '"':
			value, rest, ok := quoted(s)
			if !ok {
				return nil, bad
			}
			list, s = append(list, value), rest
		default:
			return nil, bad
		}
	}
	return nil, bad
}

// quoted reads a basic TOML string at the start of s; its escapes are a subset of Go's.
func quoted(s string) (value, rest string, ok bool) {
	for i := 1; i < len(s) && s[i] != '\n'; i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			value, err := strconv.Unquote(s[:i+1])
			return value, s[i+1:], err == nil
		}
	}
	return "", "", false
}
