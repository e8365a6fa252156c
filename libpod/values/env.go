package values

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Env expands one -e: NAME=VALUE as it is; NAME takes the caller's value and is dropped when the caller has none;
// a trailing * (PREFIX*) takes all of the caller's variables that begin so.
func Env(s string, environ func() []string) ([]string, error) {
	name, _, hasValue := strings.Cut(s, "=")
	if name == "" {
		return nil, fmt.Errorf("no name before the =")
	}
	if strings.ContainsAny(s, "\x00") {
		return nil, fmt.Errorf("it holds a zero byte")
	}
	if hasValue {
		return []string{s}, nil
	}
	prefix, isPattern := strings.CutSuffix(name, "*")
	var found []string
	for _, pair := range environ() {
		key, _, _ := strings.Cut(pair, "=")
		if key == name || isPattern && strings.HasPrefix(key, prefix) {
			found = append(found, pair)
		}
	}
	return found, nil
}

// EnvFile reads Docker's --env-file: a NAME=VALUE or NAME each line, # comments, no quoting.
func EnvFile(path string, environ func() []string) ([]string, error) {
	lines, err := fileLines(path)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, l := range lines {
		name, _, _ := strings.Cut(l.text, "=")
		if strings.ContainsFunc(name, unicode.IsSpace) {
			return nil, fmt.Errorf("line %d: the name %q holds a blank", l.number, name)
		}
		pairs, err := Env(l.text, environ)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", l.number, err)
		}
		all = append(all, pairs...)
	}
	return all, nil
}

// LabelFile reads --label-file: KEY=VALUE each line.
func LabelFile(path string, labels map[string]string) error {
	lines, err := fileLines(path)
	if err != nil {
		return err
	}
	for _, l := range lines {
		key, value, _ := strings.Cut(l.text, "=")
		if key == "" {
			return fmt.Errorf("line %d: no key before the =", l.number)
		}
		labels[key] = value
	}
	return nil
}

type numbered struct {
	number int
	text   string
}

const maxFile = 16 << 20

// fileLines reads a text file without its comments and empty lines.
func fileLines(path string) ([]numbered, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, plainPathError(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, plainPathError(err)
	}
	return splitLines(data)
}

func splitLines(data []byte) ([]numbered, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	var lines []numbered
	for i, text := range strings.Split(string(data), "\n") {
		text = strings.TrimLeftFunc(strings.TrimSuffix(text, "\r"), unicode.IsSpace)
		if !utf8.ValidString(text) || strings.Contains(text, "\x00") {
			return nil, fmt.Errorf("line %d is not text", i+1)
		}
		if text != "" && text[0] != '#' {
			lines = append(lines, numbered{i + 1, text})
		}
	}
	return lines, nil
}

// plainPathError drops the operation and the path, which the flag's error names already.
func plainPathError(err error) error {
	if e, ok := err.(*os.PathError); ok {
		return e.Err
	}
	return err
}
