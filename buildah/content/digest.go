package content

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }

// version goes into every digest; it changes with what a digest is made of.
const version = "wherry content 1\n"

// Digest is of names, modes, owners, links, attributes and contents of what the selectors choose. Times do not count.
// What a selector without wildcards names must be there.
func (v *View) Digest(ctx context.Context, selectors ...Selector) (digest.Digest, error) {
	if len(selectors) == 0 {
		selectors = []Selector{{}}
	}
	var lines []line
	for _, s := range selectors {
		chosen, err := v.choose(ctx, s)
		if err != nil {
			return "", err
		}
		lines = append(append(lines, line{}), chosen...)
	}
	if err := v.sumUp(ctx, lines); err != nil {
		return "", err
	}
	h := sha256.New()
	io.WriteString(h, version)
	for i := range lines {
		lines[i].write(h, v)
	}
	return digest.NewDigest(digest.SHA256, h), nil
}

// Check tells whether what a selector requires is there.
func (v *View) Check(ctx context.Context, s Selector) error {
	_, err := v.choose(ctx, s)
	return err
}

// line is one file of what is chosen, under its name there. One without an entry begins a selector.
type line struct {
	name  string
	entry *Entry
}

// choose lists what a selector chooses, in the order of paths.
func (v *View) choose(ctx context.Context, s Selector) ([]line, error) {
	patterns, err := NewPatterns(s.IncludePatterns, s.ExcludePatterns)
	if err != nil {
		return nil, err
	}
	wildcards := s.Wildcard && HasWildcards(s.Path)
	matches, err := v.Matches(s.Path, wildcards, s.FollowLinks)
	if err != nil {
		return nil, err
	}
	c := chooser{ctx: ctx, view: v, patterns: patterns, missing: missing(s.RequiredPaths)}
	for _, m := range matches {
		name := ""
		if wildcards {
			name = m.Name
		}
		c.base = m.Entry.Path()
		if err := c.add(m.Entry, name, "", State{}); err != nil {
			return nil, err
		}
	}
	for want := range c.missing {
		return nil, fmt.Errorf("%q: %w", want, ErrNotFound)
	}
	return c.lines, nil
}

func missing(required []string) map[string]bool {
	out := map[string]bool{}
	for _, r := range required {
		out[path.Join("/", r)] = true
	}
	return out
}

type chooser struct {
	ctx      context.Context
	view     *View
	patterns *Patterns
	lines    []line
	base     string          // path of the match that is being walked
	missing  map[string]bool // required paths not seen yet
}

// add takes the entry, known as name in the digest and as rel to the patterns, and what is below it.
func (c *chooser) add(e *Entry, name, rel string, s State) error {
	c.lines = append(c.lines, line{name, e})
	c.seen(rel)
	if !e.IsDir() {
		return nil
	}
	if err := c.ctx.Err(); err != nil {
		return context.Cause(c.ctx)
	}
	children, err := c.view.List(e)
	if err != nil {
		return err
	}
	for _, child := range children {
		if err := c.below(child, path.Join(name, child.Name), path.Join(rel, child.Name), s); err != nil {
			return err
		}
	}
	return nil
}

func (c *chooser) below(e *Entry, name, rel string, s State) error {
	if c.patterns.All() {
		return c.add(e, name, rel, s)
	}
	chosen, enter, state, err := c.patterns.Match(rel, s)
	if err != nil || !chosen && (!enter || !e.IsDir()) {
		return err
	}
	before := len(c.lines)
	if err := c.add(e, name, rel, state); err != nil {
		return err
	}
	if !chosen && len(c.lines) == before+1 {
		c.lines = c.lines[:before] // nothing in it is chosen
	}
	return nil
}

// seen notes that a required path is there. A path below a required one proves it too.
func (c *chooser) seen(rel string) {
	if len(c.missing) == 0 {
		return
	}
	at := path.Join(c.base, rel)
	for want := range c.missing {
		if at == want || strings.HasPrefix(at, want+"/") {
			delete(c.missing, want)
		}
	}
}

// write adds what counts of one file.
func (l *line) write(h hash.Hash, v *View) {
	if l.entry == nil {
		h.Write([]byte{0xff})
		return
	}
	e := l.entry
	uid, gid := v.Owner(e)
	buf := make([]byte, 0, 512)
	buf = appendText(buf, l.name)
	buf = binary.LittleEndian.AppendUint32(buf, e.Stat.Mode)
	buf = binary.LittleEndian.AppendUint32(buf, uint32(uid))
	buf = binary.LittleEndian.AppendUint32(buf, uint32(gid))
	switch e.kind() {
	case unix.S_IFREG:
		buf = binary.LittleEndian.AppendUint64(buf, uint64(e.Stat.Size))
	case unix.S_IFLNK:
		buf = appendText(buf, e.Target)
	case unix.S_IFCHR, unix.S_IFBLK:
		buf = binary.LittleEndian.AppendUint64(buf, e.Stat.Rdev)
	}
	if e.sum != nil {
		buf = append(buf, e.sum[:]...)
	}
	h.Write(buf)
}

// appendText appends a text so that no other sequence of texts looks the same.
func appendText(buf []byte, s string) []byte {
	buf = binary.AppendUvarint(buf, uint64(len(s)))
	return append(buf, s...)
}
