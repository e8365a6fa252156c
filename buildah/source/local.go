package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/filesync"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/progress"
	"github.com/moby/patternmatcher"
	"github.com/opencontainers/go-digest"
	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/buildah/content"
	"github.com/wherry-containers/wherry/buildah/tree"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// local is a directory of whoever asked for the build.
type local struct {
	name, session string
	filter        content.Filter
	keyHint       string
	differ        fsutil.DiffType
	metadataOnly  bool
	withContent   []string // patterns of what metadataOnly does not concern
}

func newLocal(name string, attrs map[string]string) (Source, error) {
	l := &local{name: name}
	for key, value := range attrs {
		if err := l.set(key, value); err != nil {
			return nil, fmt.Errorf("source local://%s: attribute %s: %w", name, key, err)
		}
	}
	return l, nil
}

func (l *local) set(key, value string) (err error) {
	list := func(to *[]string) error { return json.Unmarshal([]byte(value), to) }
	switch key {
	case pb.AttrLocalSessionID:
		l.session = value
		if prefix, id, ok := strings.Cut(value, ":"); ok {
			l.name, l.session = prefix+"-"+l.name, id
		}
	case pb.AttrIncludePatterns:
		return list(&l.filter.Include)
	case pb.AttrExcludePatterns:
		return list(&l.filter.Exclude)
	case pb.AttrFollowPaths:
		return list(&l.filter.Follow)
	case pb.AttrMetadataTransferExclude:
		return list(&l.withContent)
	case pb.AttrSharedKeyHint:
		l.keyHint = value
	case pb.AttrLocalDiffer:
		if value == pb.AttrLocalDifferNone {
			l.differ = fsutil.DiffNone
		}
	case pb.AttrMetadataTransfer:
		l.metadataOnly, err = strconv.ParseBool(value)
	}
	return err
}

func (l *local) Name() string { return "local://" + l.name }

// Key has none: what is in the directory counts.
func (l *local) Key(context.Context, *Env) (digest.Digest, string, error) { return "", "", nil }

// Fetch looks at the directory itself where the session is this process', else has it sent.
func (l *local) Fetch(ctx context.Context, env *Env) (*tree.Tree, error) {
	ids := session.AllSessionIDs(env.Session)
	if l.session != "" {
		ids = append([]string{l.session}, ids...)
	}
	if len(ids) == 0 {
		return nil, errdefs.New(errdefs.ErrInvalid, "local directory %q: there is no session to get it from", l.name)
	}
	var faults []error
	for _, id := range ids {
		t, err := l.from(ctx, env, id)
		if err == nil {
			return t, nil
		}
		var invalid filesync.InvalidSessionError
		faults = append(faults, err)
		if ctx.Err() != nil || !errors.As(err, &invalid) && !errors.Is(err, errNoSession) {
			break
		}
	}
	return nil, fmt.Errorf("local directory %q: %w", l.name, faults[len(faults)-1])
}

func (l *local) from(ctx context.Context, env *Env, id string) (*tree.Tree, error) {
	if env.Local != nil && !l.metadataOnly {
		if dir, ok := env.Local(id, l.name); ok {
			return l.look(ctx, env, dir, l.filter)
		}
	}
	caller, err := caller(ctx, env, id)
	if err != nil {
		return nil, err
	}
	dir, err := l.receive(ctx, env, caller)
	if err != nil {
		return nil, err
	}
	return l.look(ctx, env, dir, content.Filter{})
}

// look makes a tree of a directory.
func (l *local) look(ctx context.Context, env *Env, dir string, f content.Filter) (*tree.Tree, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	view, err := content.Open(ctx, dir, content.Options{Filter: f, RootOwned: true, Memory: env.memory()})
	if err != nil {
		return nil, err
	}
	env.hold(func() { view.Close() })
	return &tree.Tree{Dir: dir, RootOwned: true, View: view}, nil
}

var errNoSession = errors.New("the session is gone")

// caller is the way to a session; one that is about to begin is waited for.
func caller(ctx context.Context, env *Env, id string) (session.Caller, error) {
	const patience = 5 * time.Second
	if env.Sessions == nil {
		return nil, errNoSession
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := env.Sessions.Get(wait, id, false)
	if err != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("%w: %w", errNoSession, err)
	}
	return c, err
}

// receive has the directory sent into one that is kept, so that next time only the difference is.
func (l *local) receive(ctx context.Context, env *Env, c session.Caller) (string, error) {
	key := l.name + ":" + l.keyHint + ":" + c.SharedKey()
	if l.metadataOnly {
		key += ":metadata"
	}
	dir, err := claim(env, env.work("local"), key, l.name)
	if err != nil {
		return "", err
	}
	opt := filesync.FSSendRequestOpt{
		Name:            l.name,
		IncludePatterns: l.filter.Include,
		ExcludePatterns: l.filter.Exclude,
		FollowPaths:     l.filter.Follow,
		DestDir:         dir,
		ProgressCb:      transferring(ctx, l.name),
		Differ:          l.differ,
		MetadataOnly:    l.metadataOnly,
	}
	if l.metadataOnly && len(l.withContent) > 0 {
		matcher, err := patternmatcher.New(l.withContent)
		if err != nil {
			return "", err
		}
		opt.MetadataOnlyFilter = func(p string, _ *fstypes.Stat) bool {
			ok, err := matcher.MatchesOrParentMatches(p)
			return err == nil && ok
		}
	}
	return dir, filesync.FSSync(ctx, c, opt)
}

// transferring shows how much has come, as BuildKit shows it.
func transferring(ctx context.Context, name string) func(int, bool) {
	w, _, _ := progress.NewFromContext(ctx)
	began, told := time.Now(), time.Time{}
	st := progress.Status{Started: &began, Action: "transferring"}
	id := "transferring " + name + ":"
	_ = w.Write(id, st)
	return func(bytes int, last bool) {
		now := time.Now()
		if !last && now.Sub(told) < 100*time.Millisecond {
			return
		}
		told, st.Current = now, bytes
		if last {
			st.Completed = &now
		}
		_ = w.Write(id, st)
		if last {
			w.Close()
		}
	}
}

// claim gives a directory that is kept under a key and that nobody else uses till the build is over. Builds that use
// the same key at a time get one each.
func claim(env *Env, parent, key, what string) (string, error) {
	sweep(parent)
	name := sha256.Sum256([]byte(key))
	for n := 0; ; n++ {
		dir := filepath.Join(parent, hex.EncodeToString(name[:16])+"-"+strconv.Itoa(n))
		release, err := lockDir(dir)
		if errors.Is(err, unix.EWOULDBLOCK) {
			continue
		} else if err != nil {
			return "", err
		}
		env.hold(release)
		about(dir, what)
		files := filepath.Join(dir, "files")
		return files, os.MkdirAll(files, 0o755)
	}
}

// lockDir makes and locks a directory. The lock ends with the process, or with release.
func lockDir(dir string) (release func(), err error) {
	for {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		f, err := os.Open(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue // a prune was faster
		} else if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			f.Close()
			return nil, err
		}
		if still(f, dir) {
			now := time.Now()
			return func() { f.Close() }, os.Chtimes(dir, now, now)
		}
		f.Close()
	}
}

// still tells whether the open directory is what the path names.
func still(f *os.File, path string) bool {
	a, errA := f.Stat()
	b, errB := os.Lstat(path)
	return errA == nil && errB == nil && os.SameFile(a, b)
}
