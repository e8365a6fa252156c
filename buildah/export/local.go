//lint:file-ignore SA1019 statements are written as BuildKit writes them, in the first form of in-toto

package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	intoto "github.com/in-toto/in-toto-golang/in_toto"
	"github.com/moby/buildkit/session/filesync"
	"github.com/moby/buildkit/solver/result"
	"github.com/moby/buildkit/util/staticfs"
	"github.com/opencontainers/go-digest"
	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/archive"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// part is the files of one target, in the form that BuildKit's client takes them.
type part struct {
	target
	root  *shown
	fs    fsutil.FS
	plain bool // fs is root as it is
	stat  *fstypes.Stat
}

// parts shows the trees of all targets, with what is said of them. Each must be closed.
func (j *job) parts(ctx context.Context) (list []part, err error) {
	targets, err := j.targets()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			closeParts(list)
		}
	}()
	for _, t := range targets {
		p, err := j.part(ctx, t)
		if p.root != nil {
			list = append(list, p)
		}
		if err != nil {
			return list, err
		}
	}
	return list, nil
}

func closeParts(list []part) error {
	var faults []error
	for _, p := range list {
		faults = append(faults, p.root.Close())
	}
	return errors.Join(faults...)
}

func (j *job) part(ctx context.Context, t target) (part, error) {
	p := part{target: t, stat: &fstypes.Stat{Mode: uint32(os.ModeDir | 0o755), Path: directoryOf(t.id)}}
	epoch, err := j.epochOf(t.platform)
	if err != nil {
		return p, err
	}
	if p.root, err = j.root(ctx, t.tree); err != nil {
		return p, err
	}
	if p.fs, err = fsutil.NewFS(p.root.path); err != nil {
		return p, err
	}
	p.plain = epoch == nil
	if epoch != nil {
		p.stat.ModTime = epoch.UnixNano()
		p.fs, err = fsutil.NewFilterFS(p.fs, &fsutil.FilterOpt{Map: func(_ string, st *fstypes.Stat) fsutil.MapResult {
			st.ModTime = epoch.UnixNano()
			return fsutil.MapResultKeep
		}})
		if err != nil {
			return p, err
		}
	}
	return p, j.addStatements(ctx, &p, epoch)
}

// addStatements lays the files with attestations over the tree's.
func (j *job) addStatements(ctx context.Context, p *part, epoch *time.Time) error {
	list := j.attestations(p.id)
	if len(list) == 0 {
		return nil
	}
	subjects, err := subjectsIn(ctx, p.fs)
	if err != nil {
		return err
	}
	statements, err := j.statements(ctx, list, subjects, nil)
	if err != nil {
		return err
	}
	when := time.Now().Truncate(time.Second)
	if epoch != nil {
		when = *epoch
	}
	over, seen := staticfs.NewFS(), map[string]bool{}
	for _, s := range statements {
		data, err := json.MarshalIndent(s.Statement, "", "  ")
		if err != nil {
			return err
		}
		name := j.settings.prefix + s.name
		if len(j.Result.Refs) > 0 && !j.splits() {
			ext := path.Ext(name)
			name = fmt.Sprintf("%s.%s%s", strings.TrimSuffix(name, ext), directoryOf(p.id), ext)
		}
		if seen[name] {
			return errdefs.New(errdefs.ErrInvalid, "two attestations have the name %s", name)
		}
		seen[name] = true
		over.Add(name, &fstypes.Stat{Mode: 0o600, Path: name, ModTime: when.UnixNano()}, data)
	}
	p.fs, p.plain = staticfs.NewMergeFS(p.fs, over), false
	return nil
}

// subjectsIn are the files that an attestation beside them is about.
func subjectsIn(ctx context.Context, tree fsutil.FS) ([]intoto.Subject, error) {
	subjects := []intoto.Subject{}
	err := tree.Walk(ctx, "", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		f, err := tree.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		d, err := digest.FromReader(f)
		subjects = append(subjects, intoto.Subject{Name: name, Digest: result.ToDigestMap(d)})
		return err
	})
	return subjects, err
}

// directoryOf names a platform's directory.
func directoryOf(id string) string {
	id = strings.NewReplacer("/", "_", `\`, "_", ":", "_").Replace(id)
	if id == "." || id == ".." {
		return strings.Repeat("_", len(id))
	}
	return id
}

// splits tells whether each platform has a directory of its own.
func (j *job) splits() bool {
	if j.settings.split != nil {
		return *j.settings.split
	}
	return len(j.Result.Refs) > 0
}

// local copies the files to a directory of the client.
func (j *job) local(ctx context.Context) (err error) {
	list, err := j.parts(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeParts(list)) }()
	if dir, ok := j.Dirs[j.ID]; ok && !j.settings.delete && allPlain(list) && (j.splits() || len(list) == 1) {
		return j.step(ctx, "copying files", func() error { return j.copyTo(ctx, dir, list) })
	}
	all, err := j.together(ctx, list)
	if err != nil {
		return err
	}
	caller, err := j.caller(ctx)
	if err != nil {
		return err
	}
	var opts []filesync.CopyToCallerOpt
	if j.settings.delete {
		opts = append(opts, filesync.WithExporterMultiPlatformTransfer())
	}
	return j.step(ctx, "copying files", func() error {
		return filesync.CopyToCaller(ctx, all, j.ID, caller, nil, opts...)
	})
}

func allPlain(list []part) bool {
	for _, p := range list {
		if !p.plain {
			return false
		}
	}
	return true
}

// together is all parts as one tree.
func (j *job) together(ctx context.Context, list []part) (fsutil.FS, error) {
	if j.splits() {
		dirs := make([]fsutil.Dir, len(list))
		for i, p := range list {
			dirs[i] = fsutil.Dir{FS: p.fs, Stat: p.stat}
		}
		return fsutil.SubDirFS(dirs)
	}
	all, seen := fsutil.FS(nil), map[string]string{}
	for _, p := range list {
		if len(list) > 1 {
			if err := collisions(ctx, p, seen); err != nil {
				return nil, err
			}
		}
		if all == nil {
			all = p.fs
		} else {
			all = staticfs.NewMergeFS(all, p.fs)
		}
	}
	return all, nil
}

func collisions(ctx context.Context, p part, seen map[string]string) error {
	return p.fs.Walk(ctx, "", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if other, ok := seen[name]; ok {
			return errdefs.New(errdefs.ErrInvalid, "both %s and %s have a file %s (leave out platform-split=false)", other, p.id, name)
		}
		seen[name] = p.id
		return nil
	})
}

// copyTo copies without a client between: every file becomes the user's own, as a client's copy would be.
func (j *job) copyTo(ctx context.Context, dir string, list []part) error {
	uid, gid := os.Getuid(), os.Getgid()
	opts := archive.Options{Owner: func(int, int) (int, int) { return uid, gid }, SkipDevices: true, Overwrite: true,
		Attribute: func(name string) bool {
			return strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "user.overlay.")
		}}
	for _, p := range list {
		into := dir
		if j.splits() && p.id != "" {
			into = filepath.Join(dir, directoryOf(p.id))
		}
		if err := os.MkdirAll(into, 0o755); err != nil {
			return err
		}
		if err := copyTree(ctx, p.root.path, into, opts); err != nil {
			return err
		}
	}
	return nil
}

func copyTree(ctx context.Context, from, to string, opts archive.Options) error {
	src, err := os.OpenFile(from, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer dst.Close()
	return archive.Copy(ctx, src, dst, ".", opts)
}

// tar sends the files as one tar archive.
func (j *job) tar(ctx context.Context) (err error) {
	list, err := j.parts(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeParts(list)) }()
	all, err := j.together(ctx, list)
	if err != nil {
		return err
	}
	return j.step(ctx, "sending tarball", func() error {
		return j.send(ctx, nil, func(w io.Writer) error { return fsutil.WriteTar(ctx, all, w) })
	})
}
