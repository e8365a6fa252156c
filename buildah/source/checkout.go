package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/recorddir"
)

// checkOut makes dir with the files of a commit in it.
func (r *repository) checkOut(ctx context.Context, env *Env, c commit, dir string) error {
	format := "sha1"
	if len(c.Object) == 64 {
		format = "sha256"
	}
	err := r.with(ctx, env, func(g git) error {
		return r.locked(ctx, env, format, func(bare string) error {
			if err := r.bring(ctx, g.in(bare, ""), format, c); err != nil {
				return err
			}
			return env.keep(dir, func(tmp string) error { return r.fill(ctx, g, bare, tmp, format, c) })
		})
	})
	if err != nil {
		return fmt.Errorf("%s: %w", r.Name(), err)
	}
	return nil
}

// bring has the commit in the copy of the remote. The least is asked for first; not every server gives what no ref
// names.
func (r *repository) bring(ctx context.Context, g git, format string, c commit) error {
	if _, err := os.Lstat(filepath.Join(g.repo, "HEAD")); err != nil {
		if _, err := g.run(ctx, "init", "--quiet", "--bare", "--object-format="+format); err != nil {
			return err
		}
		if _, err := g.run(ctx, "config", "uploadpack.allowAnySHA1InWant", "true"); err != nil {
			return err
		}
	}
	has := func() bool {
		_, err := g.run(ctx, "cat-file", "-e", c.Object+"^{commit}")
		return err == nil
	}
	if has() {
		return nil
	}
	os.Remove(filepath.Join(g.repo, "shallow.lock")) // of a killed git: nobody else has the lock of the copy
	var tries [][]string
	if strings.HasPrefix(c.Ref, "refs/") && !r.byCommit {
		tries = append(tries, []string{"--depth=1", "--no-tags", "--force", "--", r.url(), c.Ref + ":refs/wherry/" + c.Ref})
	}
	tries = append(tries, []string{"--depth=1", "--no-tags", "--", r.url(), c.Object})
	all := []string{"--tags", "--force", "--", r.url(), "+refs/heads/*:refs/wherry/refs/heads/*"}
	if _, err := os.Lstat(filepath.Join(g.repo, "shallow")); err == nil {
		all = append([]string{"--unshallow"}, all...)
	}
	var fault error
	for _, args := range append(tries, all) {
		if _, fault = g.run(ctx, append([]string{"fetch", "--quiet", "--update-head-ok"}, args...)...); ctx.Err() != nil {
			return fault
		}
		if has() {
			return nil
		}
	}
	if fault == nil {
		fault = fmt.Errorf("the repository has no commit %s", c.Object)
	}
	return fault
}

// fill checks the commit out below tmp/files. What git needs besides lies beside it.
func (r *repository) fill(ctx context.Context, g git, bare, tmp, format string, c commit) error {
	about(tmp, r.Name()+" "+c.name())
	files := filepath.Join(tmp, "files")
	if err := os.Mkdir(files, 0o755); err != nil {
		return err
	}
	_, err := g.in(bare, "").run(ctx, "cat-file", "-e", c.Object+":.gitmodules")
	submodules := err == nil && !r.noSubmodules
	if r.keepGitDir || submodules {
		err = r.clone(ctx, g, bare, files, format, c)
	} else {
		simple := g.in(bare, files)
		simple.env = append(simple.env, "GIT_INDEX_FILE="+filepath.Join(tmp, "index"))
		_, err = simple.run(ctx, "read-tree", "--reset", "-u", c.name())
		os.Remove(filepath.Join(tmp, "index"))
	}
	if err != nil {
		return err
	}
	if submodules {
		if _, err := g.in(filepath.Join(files, ".git"), files).run(ctx, "submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"); err != nil {
			return err
		}
	}
	if !r.keepGitDir {
		if err := dropGitDirs(files); err != nil {
			return err
		}
	}
	if r.commitTime {
		return r.setTimes(ctx, g.in(bare, ""), files, c)
	}
	return nil
}

// clone makes a repository of its own in files.
func (r *repository) clone(ctx context.Context, g git, bare, files, format string, c commit) error {
	repo := g.in(filepath.Join(files, ".git"), files)
	near := repo
	near.local, near.secrets = true, nil
	spec := c.Object
	if strings.HasPrefix(c.Ref, "refs/heads/") || strings.HasPrefix(c.Ref, "refs/tags/") {
		spec += ":" + c.Ref
	}
	steps := []struct {
		git  git
		args []string
	}{
		{repo, []string{"init", "--quiet", "--object-format=" + format}},
		{repo, []string{"remote", "add", "origin", r.url()}},
		{near, []string{"fetch", "--quiet", "--update-head-ok", "--depth=1", "--no-tags", "--", "file://" + bare, spec}},
		{repo, []string{"checkout", "--quiet", "--detach", c.name()}},
		{repo, []string{"reflog", "expire", "--all", "--expire=now"}},
	}
	for _, s := range steps {
		if _, err := s.git.run(ctx, s.args...); err != nil {
			return err
		}
	}
	if err := os.Remove(filepath.Join(files, ".git", "FETCH_HEAD")); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// dropGitDirs removes the directory .git and the files of that name that submodules have. No repository can hold a file
// called so.
func dropGitDirs(files string) error {
	var drop []string
	err := filepath.WalkDir(files, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != ".git" || p == files {
			return err
		}
		drop = append(drop, p)
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
	for _, p := range drop {
		err = errors.Join(err, recorddir.RemoveAll(p))
	}
	return err
}

// setTimes gives all files the time of the commit.
func (r *repository) setTimes(ctx context.Context, g git, files string, c commit) error {
	out, err := g.run(ctx, "show", "--no-patch", "--format=%ct", c.name())
	if err != nil {
		return err
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64)
	if err != nil {
		return err
	}
	at := unix.NsecToTimespec(seconds * 1e9)
	stamp := []unix.Timespec{at, at}
	return filepath.WalkDir(files, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return unix.UtimesNanoAt(unix.AT_FDCWD, p, stamp, unix.AT_SYMLINK_NOFOLLOW)
	})
}
