package content

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"
)

// maxLinks bounds the links in one path.
const maxLinks = 255

// Lookup finds a path in the tree. Links on the way are followed inside the tree, the last one only if follow says so.
func (v *View) Lookup(name string, follow bool) (*Entry, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.lookup(v.top, name, follow)
}

func (v *View) lookup(at *Entry, name string, follow bool) (*Entry, error) {
	rest, links := name, 0
	for rest != "" {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		next, err := v.step(at, part)
		if err != nil {
			return nil, err
		}
		if next == nil {
			return nil, fmt.Errorf("%q: %w", path.Join("/", name), ErrNotFound)
		}
		if !next.IsLink() || !follow && strings.Trim(rest, "/") == "" {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return nil, fmt.Errorf("%q: too many links", path.Join("/", name))
		}
		if rest = next.Target + "/" + rest; path.IsAbs(next.Target) {
			at = v.top
		}
	}
	return at, nil
}

// step goes from an entry to the next name; nil is an entry that is not there.
func (v *View) step(at *Entry, part string) (*Entry, error) {
	switch {
	case part == "" || part == ".":
		return at, nil
	case part == ".." && at.parent == nil:
		return at, nil
	case part == "..":
		return at.parent, nil
	case !at.IsDir():
		return nil, nil
	}
	if _, err := v.list(at); err != nil {
		return nil, err
	}
	return at.child(part), nil
}

// Match is one file that a path with wildcards names.
type Match struct {
	Entry *Entry
	Name  string // its last name before links were followed: the name that a copy gets
}

// Matches finds what name, perhaps with wildcards, stands for, in the order of their paths. Without wildcards in it
// the path must be there. Links before the first wildcard are followed, those among the matches only if follow says so.
func (v *View) Matches(name string, wildcards, follow bool) ([]Match, error) {
	fixed, glob := path.Join("/", name), ""
	if wildcards {
		fixed, glob = splitGlob(name)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if glob == "" {
		e, err := v.lookup(v.top, fixed, follow)
		if err != nil {
			return nil, err
		}
		base := path.Base(fixed)
		if !wildcards && strings.HasSuffix(name, "/.") {
			base = "." // the directory goes where it is copied to, not into it
		}
		return []Match{{e, base}}, nil
	}
	base, err := v.lookup(v.top, fixed, follow)
	if err != nil {
		if isNotFound(err) {
			return nil, nil
		}
		return nil, err
	}
	var out []Match
	err = v.expand(base, strings.Split(glob, "/"), func(e *Entry) error {
		to := e
		if e.IsLink() && follow {
			var err error
			if to, err = v.lookup(v.top, e.Path(), true); err != nil {
				return err
			}
		}
		out = append(out, Match{to, e.Name})
		return nil
	})
	return out, err
}

// expand calls found for what a pattern of several names stands for below dir. Links are not followed.
func (v *View) expand(dir *Entry, pattern []string, found func(*Entry) error) error {
	if !dir.IsDir() {
		return nil
	}
	children, err := v.list(dir)
	if err != nil {
		return err
	}
	for _, e := range children {
		if ok, err := filepath.Match(pattern[0], e.Name); err != nil || !ok {
			continue // a broken pattern matches nothing, as in BuildKit
		}
		if len(pattern) == 1 {
			err = found(e)
		} else {
			err = v.expand(e, pattern[1:], found)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// splitGlob cuts a path before its first name with a wildcard.
func splitGlob(name string) (fixed, glob string) {
	parts := strings.Split(path.Join("/", name), "/")
	for i, p := range parts {
		if HasWildcards(p) {
			return path.Join("/", path.Join(parts[:i]...)), strings.Join(parts[i:], "/")
		}
	}
	return path.Join("/", name), ""
}

// HasWildcards tells whether a path is to be expanded.
func HasWildcards(name string) bool {
	for i := 0; i < len(name); i++ {
		switch name[i] {
		case '\\':
			i++
		case '*', '?', '[':
			return true
		}
	}
	return false
}
