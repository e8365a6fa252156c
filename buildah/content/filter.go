package content

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/tonistiigi/fsutil"
	"golang.org/x/sys/unix"
)

// Filter leaves a part of a directory, as the attributes of LLB's local source say it.
type Filter struct {
	Include []string // patterns; empty: everything
	Exclude []string // patterns as in .dockerignore
	Follow  []string // paths that are included with whatever the links in them lead to
}

func (f *Filter) empty() bool {
	return len(f.Include) == 0 && len(f.Exclude) == 0 && len(f.Follow) == 0
}

// Patterns choose files below some directory.
type Patterns struct {
	include, exclude *patternmatcher.PatternMatcher
	// No file below a directory that is not included can be included unless a pattern begins with the directory.
	prefixIncludes bool
	// The same of exceptions to exclude.
	prefixExceptions bool
}

// State is what was found of a directory, for the match of what it holds.
type State struct{ include, exclude patternmatcher.MatchInfo }

// NewPatterns compiles patterns. Without include patterns everything is included.
func NewPatterns(include, exclude []string) (*Patterns, error) {
	p := &Patterns{prefixIncludes: true, prefixExceptions: true}
	var err error
	if len(include) > 0 {
		if p.include, err = patternmatcher.New(include); err != nil {
			return nil, fmt.Errorf("invalid include patterns %q: %w", include, err)
		}
		p.prefixIncludes = !globs(p.include, false)
	}
	if len(exclude) > 0 {
		if p.exclude, err = patternmatcher.New(exclude); err != nil {
			return nil, fmt.Errorf("invalid exclude patterns %q: %w", exclude, err)
		}
		p.prefixExceptions = !globs(p.exclude, true)
	}
	return p, nil
}

// All tells whether everything is chosen.
func (p *Patterns) All() bool { return p.include == nil && p.exclude == nil }

// Match tells whether the file rel, a path below the directory that the patterns are about, is chosen, and whether a
// directory of that name that is not chosen may hold what is.
func (p *Patterns) Match(rel string, parent State) (chosen, enter bool, s State, err error) {
	chosen, enter = true, true
	if p.include != nil {
		chosen, s.include, err = p.include.MatchesUsingParentResults(rel, parent.include)
		if err != nil {
			return false, false, s, fmt.Errorf("match include patterns: %w", err)
		}
		enter = chosen || !p.prefixIncludes || reaches(p.include, false, rel)
	}
	if p.exclude == nil {
		return chosen, enter, s, nil
	}
	excluded, info, err := p.exclude.MatchesUsingParentResults(rel, parent.exclude)
	if err != nil {
		return false, false, s, fmt.Errorf("match exclude patterns: %w", err)
	}
	s.exclude = info
	if excluded {
		chosen = false
		enter = enter && p.exclude.Exclusions() && (!p.prefixExceptions || reaches(p.exclude, true, rel))
	}
	return chosen, enter, s, nil
}

// withoutGlob takes the last part off a pattern that ends in a wildcard for everything below.
func withoutGlob(p *patternmatcher.Pattern) string {
	return strings.TrimSuffix(strings.TrimSuffix(p.String(), "/**"), "/*")
}

// globs tells whether a pattern, of the exceptions or of the others, has wildcards before its end.
func globs(m *patternmatcher.PatternMatcher, exceptions bool) bool {
	for _, p := range m.Patterns() {
		if p.Exclusion() == exceptions && strings.ContainsAny(withoutGlob(p), `*[]?^\`) {
			return true
		}
	}
	return false
}

// reaches tells whether a pattern begins with the directory dir.
func reaches(m *patternmatcher.PatternMatcher, exceptions bool, dir string) bool {
	for _, p := range m.Patterns() {
		if p.Exclusion() == exceptions && strings.HasPrefix(withoutGlob(p)+"/", dir+"/") {
			return true
		}
	}
	return false
}

// compile turns the paths to follow into patterns.
func (f *Filter) compile(dir string) (*Patterns, error) {
	include := append([]string(nil), f.Include...)
	if len(f.Follow) > 0 {
		fs, err := fsutil.NewFS(dir)
		if err != nil {
			return nil, err
		}
		targets, err := fsutil.FollowLinks(fs, f.Follow)
		if err != nil {
			return nil, fmt.Errorf("follow links: %w", withoutRoot(dir, err))
		}
		if include = append(include, targets...); slices.Contains(include, ".") {
			include = nil
		}
	}
	return NewPatterns(include, f.Exclude)
}

func withoutRoot(dir string, err error) error {
	var fault *os.PathError
	if errors.As(err, &fault) {
		if rel, relErr := filepath.Rel(dir, fault.Path); relErr == nil {
			return &os.PathError{Op: fault.Op, Path: rel, Err: fault.Err}
		}
	}
	return err
}

// listFiltered walks the tree and keeps what the patterns choose, and the directories on the way to it.
func (v *View) listFiltered(ctx context.Context, p *Patterns) error {
	if p.All() {
		return nil
	}
	dir, err := v.OpenEntry(v.top, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	w := walker{ctx: ctx, patterns: p}
	return w.walk(dir, v.top, "", State{})
}

type walker struct {
	ctx      context.Context
	patterns *Patterns
}

type found struct {
	chosen bool
	state  State
}

// walk lists the directory e and closes dir. A directory that is not chosen stays only if something in it is.
func (w *walker) walk(dir *os.File, e *Entry, rel string, s State) error {
	defer dir.Close()
	if err := w.ctx.Err(); err != nil {
		return context.Cause(w.ctx)
	}
	known := map[string]found{}
	children, err := readDir(dir, e, func(c *Entry) (bool, error) {
		chosen, enter, state, err := w.patterns.Match(path.Join(rel, c.Name), s)
		if c.IsDir() {
			known[c.Name] = found{chosen, state}
		}
		return chosen || c.IsDir() && enter, err
	})
	if err != nil {
		return err
	}
	kept := children[:0]
	for _, c := range children {
		if c.IsDir() {
			fd, err := openBelow(dir, c)
			if err == nil {
				err = w.walk(fd, c, path.Join(rel, c.Name), known[c.Name].state)
			}
			if errors.Is(err, unix.ENOENT) || !known[c.Name].chosen && errors.Is(err, unix.EACCES) {
				continue
			} else if err != nil {
				return err
			}
			if !known[c.Name].chosen && len(c.children) == 0 {
				continue
			}
		}
		kept = append(kept, c)
	}
	e.children, e.listed = kept, true
	return nil
}

func openBelow(dir *os.File, e *Entry) (*os.File, error) {
	for {
		fd, err := unix.Openat(int(dir.Fd()), e.Name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		} else if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
			err = unix.ENOENT // no directory any more
		}
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: e.Path(), Err: err}
		}
		return os.NewFile(uintptr(fd), e.Path()), nil
	}
}
