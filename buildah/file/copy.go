package file

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/moby/buildkit/solver/pb"
	mode "github.com/tonistiigi/dchapes-mode"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/buildah/content"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// copyAction copies what the action's source names, perhaps with wildcards, one match after the other.
func (t *target) copyAction(ctx context.Context, a *pb.FileActionCopy, src *content.View, users Users) error {
	if src == nil {
		return errdefs.New(errdefs.ErrNotFound, "%s: the source is empty (scratch)", path.Join("/", a.Src))
	}
	c, err := t.newCopier(ctx, a, src, users)
	if err != nil {
		return err
	}
	if err := required(ctx, src, a); err != nil {
		return err
	}
	dst := cleanPath(a.Dest)
	if !a.CreateDestPath {
		at, err := t.resolve(dst, true)
		if err != nil {
			return err
		}
		if _, err := t.stat(path.Dir(at)); err != nil {
			return fmt.Errorf("destination %s: %w", a.Dest, err)
		}
	}
	matches, err := src.Matches(a.Src, a.AllowWildcard, a.FollowSymlink)
	if err != nil {
		return err
	}
	if len(matches) == 0 && !a.AllowEmptyWildcard {
		return errdefs.New(errdefs.ErrNotFound, "%s: no file matches", path.Join("/", a.Src))
	}
	for _, m := range matches {
		if err := t.copyMatch(ctx, c, a, m, dst); err != nil {
			return errors.Join(err, c.finish(false))
		}
	}
	return c.finish(true)
}

func (t *target) copyMatch(ctx context.Context, c *copier, a *pb.FileActionCopy, m content.Match, dst string) error {
	if a.AttemptUnpackDockerCompatibility {
		if err := c.wait(); err != nil {
			return err
		}
		// What is tried to be unpacked is found through links, whatever FollowSymlink says.
		e, err := c.src.Lookup(m.Entry.Path(), true)
		if err == nil && e.IsRegular() {
			if done, err := t.unpack(ctx, c, e, dst); done || err != nil {
				return err
			}
		}
	}
	return c.match(m, dst, a.DirCopyContents)
}

// required sees to it that the paths which have to be there are chosen, as the digest of the source does.
func required(ctx context.Context, src *content.View, a *pb.FileActionCopy) error {
	if len(a.RequiredPaths) == 0 {
		return nil
	}
	return src.Check(ctx, content.Selector{Path: a.Src, Wildcard: a.AllowWildcard, FollowLinks: a.FollowSymlink,
		IncludePatterns: a.IncludePatterns, ExcludePatterns: a.ExcludePatterns, RequiredPaths: a.RequiredPaths})
}

func (t *target) newCopier(ctx context.Context, a *pb.FileActionCopy, src *content.View, users Users) (*copier, error) {
	own, err := users.find(ctx, a.Owner)
	if err != nil {
		return nil, err
	}
	patterns, err := content.NewPatterns(a.IncludePatterns, a.ExcludePatterns)
	if err != nil {
		return nil, err
	}
	c := newCopier(ctx, t, src)
	c.owner, c.stamp, c.patterns, c.replace = own, timestamp(a.Timestamp), patterns, a.AlwaysReplaceExistingDestPaths
	switch {
	case a.ModeStr != "":
		set, err := mode.ParseWithUmask(a.ModeStr, 0)
		if err != nil {
			return nil, fmt.Errorf("mode %q: %w", a.ModeStr, err)
		}
		c.mode = func(m uint32) uint32 { return unixMode(set.Apply(fileMode(m))) }
	case a.Mode != -1:
		fixed := uint32(a.Mode) & 0o7777
		c.mode = func(uint32) uint32 { return fixed }
		c.parents = fixed & 0o777
	}
	return c, nil
}

// fileMode is a mode as the library of symbolic modes wants it, which treats directories (X) apart.
func fileMode(m uint32) os.FileMode {
	out := os.FileMode(m & 0o777)
	for _, b := range modeBits {
		if m&b.unix != 0 {
			out |= b.go_
		}
	}
	if m&unix.S_IFMT == unix.S_IFDIR {
		out |= os.ModeDir
	}
	return out
}

func unixMode(m os.FileMode) uint32 {
	out := uint32(m.Perm())
	for _, b := range modeBits {
		if m&b.go_ != 0 {
			out |= b.unix
		}
	}
	return out
}

var modeBits = []struct {
	unix uint32
	go_  os.FileMode
}{{unix.S_ISUID, os.ModeSetuid}, {unix.S_ISGID, os.ModeSetgid}, {unix.S_ISVTX, os.ModeSticky}}

// cleanPath keeps what the end of a path says: a slash, or a slash and a dot, mean a directory.
func cleanPath(s string) string {
	clean := path.Join("/", s)
	if clean == "/" {
		return clean
	}
	switch {
	case strings.HasSuffix(s, "/."):
		return clean + "/."
	case strings.HasSuffix(s, "/"):
		return clean + "/"
	}
	return clean
}

// match copies one match to dst: into it where it is a directory and the match is a file, or a directory that is not
// only to give its contents.
func (c *copier) match(m content.Match, dst string, contents bool) error {
	at, err := c.place(m, dst, contents)
	if err != nil {
		return err
	}
	if m.Entry.IsDir() || c.taken[at] {
		if err := c.settle(); err != nil { // an earlier match may write to the same places
			return err
		}
	}
	c.names = map[inode]string{} // matches are copied apart, as in BuildKit: what was one file in both becomes two
	c.taken[at] = true
	if m.Entry.IsDir() {
		return c.tree(m.Entry, at)
	}
	if at == "/" {
		return &os.PathError{Op: "copy to", Path: at, Err: unix.EISDIR}
	}
	dir, err := c.openParent(path.Dir(at))
	if err != nil {
		return err
	}
	return c.one(m.Entry, dir, path.Base(at))
}

// place finds out where a match goes, and makes the directories on the way.
func (c *copier) place(m content.Match, dst string, contents bool) (string, error) {
	parent := dst
	if base := dst[strings.LastIndex(dst, "/")+1:]; base != "" && base != "." {
		parent = path.Dir(dst)
	}
	if err := c.ensure(parent); err != nil {
		return "", err
	}
	at, err := c.t.resolve(dst, true)
	if err != nil {
		return "", err
	}
	st, err := c.t.stat(at)
	exists := err == nil
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return "", err
	}
	isDir := exists && st.Mode&unix.S_IFMT == unix.S_IFDIR
	if m.Entry.IsDir() && exists && !contents || !m.Entry.IsDir() && isDir {
		at = path.Join(at, m.Name)
	}
	above := path.Dir(at)
	if contents && m.Entry.IsDir() && !exists {
		above = at
	}
	return at, c.makeParents(above)
}

// ensure makes the directory that name leads to.
func (c *copier) ensure(name string) error {
	if c.taken[name+"/"] {
		return nil // seen to already, for an earlier match
	}
	at, err := c.t.resolve(name, true)
	if err != nil {
		return err
	}
	c.taken[name+"/"] = true
	return c.makeParents(at)
}

func (c *copier) makeParents(at string) error {
	made, err := c.t.makeDirs(at, look{c.parents, c.owner, c.stamp})
	if c.stamp != nil {
		for _, dir := range made {
			c.stamps = append(c.stamps, stamped{dir, *c.stamp})
		}
	}
	return err
}

// Plain copies all that src shows to the directory dir, which is there and empty: for those who need a real directory
// where a view is of a part of one, or shows other owners. See View.Plain.
func Plain(ctx context.Context, src *content.View, dir string) error {
	t, err := openTarget(dir)
	if err != nil {
		return err
	}
	defer t.close()
	c := newCopier(ctx, t, src)
	if err := c.tree(src.Top(), "/"); err != nil {
		return errors.Join(err, c.finish(false))
	}
	return c.finish(true)
}
