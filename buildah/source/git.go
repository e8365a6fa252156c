package source

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/sshforward"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/gitutil"
	"github.com/opencontainers/go-digest"
	"google.golang.org/grpc/status"

	"github.com/wherry-containers/wherry/buildah/tree"
	"github.com/wherry-containers/wherry/pkg/buildcache"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// repository is a commit of a git repository.
type repository struct {
	remote       *gitutil.GitURL
	ref, subdir  string
	checksum     string // what the commit's name must begin with
	keepGitDir   bool
	noSubmodules bool
	commitTime   bool // files are as old as the commit
	byCommit     bool // the checksum is the commit; ref is only its name
	tokenSecret  string
	headerSecret string
	knownHosts   string
	agent        string // id of the forwarded ssh agent
}

func newRepository(id string, attrs map[string]string) (Source, error) {
	u, err := gitutil.ParseURL("https://" + id)
	if err != nil {
		return nil, errdefs.New(errdefs.ErrInvalid, "git repository %q: %v", id, err)
	}
	r := &repository{remote: u}
	if u.Opts != nil {
		r.ref, r.subdir = u.Opts.Ref, u.Opts.Subdir
	}
	for key, value := range attrs {
		if err := r.set(key, value); err != nil {
			return nil, fmt.Errorf("source %s: attribute %s: %w", r.Name(), key, err)
		}
	}
	if strings.HasPrefix(r.ref, "-") || strings.ContainsAny(r.ref, "\n\x00") {
		return nil, errdefs.New(errdefs.ErrInvalid, "git repository %q: invalid ref %q", id, r.ref)
	}
	if strings.Trim(r.checksum, "0123456789abcdefABCDEF") != "" {
		return nil, errdefs.New(errdefs.ErrInvalid, "git repository %q: checksum %q is no name of a commit", id, r.checksum)
	}
	return r, nil
}

func (r *repository) set(key, value string) error {
	yes := value == "true"
	switch key {
	case pb.AttrKeepGitDir:
		r.keepGitDir = yes
	case pb.AttrFullRemoteURL:
		return r.setRemote(value)
	case pb.AttrAuthTokenSecret:
		r.tokenSecret = value
	case pb.AttrAuthHeaderSecret:
		r.headerSecret = value
	case pb.AttrKnownSSHHosts:
		r.knownHosts = value
	case pb.AttrMountSSHSock:
		r.agent = value
	case pb.AttrGitChecksum:
		r.checksum = strings.ToLower(value)
	case pb.AttrGitSkipSubmodules:
		r.noSubmodules = yes
	case pb.AttrGitMTime:
		r.commitTime = value == "commit"
	case pb.AttrGitFetchByCommit:
		r.byCommit = yes
	case pb.AttrGitBundle, pb.AttrGitCheckoutBundle:
		return errdefs.New(errdefs.ErrUnsupported, "bundles of git are not supported")
	case pb.AttrGitSignatureVerifyPubKey, pb.AttrGitSignatureVerifyRejectExpired, pb.AttrGitSignatureVerifyRequireSignedTag, pb.AttrGitSignatureVerifyIgnoreSignedTag:
		return errdefs.New(errdefs.ErrUnsupported, "signatures of commits are not supported (demand a checksum)")
	}
	return nil
}

// setRemote takes the whole URL of the repository. It must be the one that the source is called by: policies look at that.
func (r *repository) setRemote(full string) error {
	u, err := gitutil.ParseURL(full)
	if errors.Is(err, gitutil.ErrUnknownProtocol) {
		u, err = gitutil.ParseURL("https://" + full)
	}
	if err != nil {
		return errdefs.New(errdefs.ErrInvalid, "no URL of a git repository")
	}
	bare := func(p string) string { return strings.TrimSuffix(path.Join("/", p), ".git") }
	if !strings.EqualFold(u.Host, r.remote.Host) || bare(u.Path) != bare(r.remote.Path) {
		return errdefs.New(errdefs.ErrInvalid, "it is another repository than the source's name says")
	}
	if strings.HasPrefix(u.Remote, "-") || strings.HasPrefix(u.Host, "-") || strings.HasPrefix(u.Path, "-") {
		return errdefs.New(errdefs.ErrInvalid, "a part of the URL would be taken for an option")
	}
	r.remote = u
	return nil
}

func (r *repository) Name() string {
	name := "git://" + r.remote.Host + path.Join("/", r.remote.Path)
	if r.ref != "" || r.subdir != "" {
		name += "#" + r.ref
	}
	if r.subdir != "" {
		name += ":" + r.subdir
	}
	return name
}

// url is the remote without a log-in: git gets that in another way.
func (r *repository) url() string {
	u, err := url.Parse(r.remote.Remote)
	if err != nil || u.User == nil || u.Scheme == "ssh" {
		return r.remote.Remote // of the form USER@HOST:PATH too
	}
	u.User = nil
	return u.String()
}

// commit is what a ref stands for.
type commit struct {
	Ref    string // refs/heads/..., refs/tags/..., or the commit
	Object string // the tag or commit
	Commit string // the commit that an annotated tag names; empty: Object
}

func (c commit) name() string {
	if c.Commit != "" {
		return c.Commit
	}
	return c.Object
}

// Key asks the remote what the ref stands for. A commit's name is its own key.
func (r *repository) Key(ctx context.Context, env *Env) (digest.Digest, string, error) {
	c, err := r.resolve(ctx, env)
	if err != nil {
		return "", "", err
	}
	return r.key(c), c.Object, nil
}

func (r *repository) key(c commit) digest.Digest {
	parts := []any{c.name(), r.subdir, r.noSubmodules, r.commitTime, r.keepGitDir}
	if r.keepGitDir {
		parts = append(parts, c.Object, c.Ref, r.url())
	}
	return digest.FromString(fmt.Sprintf("git %q", parts))
}

// Fetch checks the commit out, once.
func (r *repository) Fetch(ctx context.Context, env *Env) (*tree.Tree, error) {
	c, err := r.resolve(ctx, env)
	if err != nil {
		return nil, err
	}
	whole := *r
	whole.subdir = ""
	dir := filepath.Join(env.work("git-trees"), whole.key(c).Encoded()[:32])
	ok, err := env.kept(dir)
	if err == nil && !ok {
		err = r.checkOut(ctx, env, c, dir)
	}
	if err != nil {
		return nil, err
	}
	at, err := subdirectory(filepath.Join(dir, "files"), r.subdir)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Name(), err)
	}
	return &tree.Tree{Dir: at, RootOwned: true, Pin: c.Object}, nil
}

// subdirectory finds a directory of a checkout. No link on the way counts.
func subdirectory(dir, sub string) (string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	at := ""
	for _, part := range strings.Split(strings.Trim(path.Join("/", sub), "/"), "/") {
		if part == "" {
			continue
		}
		at = path.Join(at, part)
		info, err := root.Lstat(at)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
			return "", errdefs.New(errdefs.ErrNotFound, "there is no directory %q in the repository", sub)
		} else if err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, at), nil
}

// resolve finds the commit, asking the remote once in a build.
func (r *repository) resolve(ctx context.Context, env *Env) (commit, error) {
	switch {
	case gitutil.IsCommitSHA(r.ref):
		if !strings.HasPrefix(r.ref, r.checksum) {
			return commit{}, r.mismatch(r.ref)
		}
		return commit{Ref: r.ref, Object: r.ref}, nil
	case r.byCommit:
		return r.named()
	}
	memo := "git " + r.url() + "#" + r.ref
	if v, ok := env.recall(memo); ok {
		return v.(commit), r.check(v.(commit))
	}
	end := showStep(ctx, "resolve "+r.Name())
	c, err := r.ask(ctx, env)
	end(err)
	if err != nil {
		return commit{}, err
	}
	env.note(memo, c)
	return c, r.check(c)
}

// named is the commit that the checksum is, under the name of a ref.
func (r *repository) named() (commit, error) {
	if !gitutil.IsCommitSHA(r.checksum) {
		return commit{}, errdefs.New(errdefs.ErrInvalid, "%s: to fetch by commit the checksum must be a whole one", r.Name())
	}
	c := commit{Ref: r.ref, Object: r.checksum}
	switch {
	case c.Ref == "":
		c.Ref = r.checksum
	case !strings.HasPrefix(c.Ref, "refs/"):
		c.Ref = "refs/heads/" + c.Ref
	}
	return c, nil
}

func (r *repository) check(c commit) error {
	if r.checksum == "" || strings.HasPrefix(c.Object, r.checksum) || strings.HasPrefix(c.Commit, r.checksum) {
		return nil
	}
	return r.mismatch(c.name())
}

func (r *repository) mismatch(got string) error {
	return errdefs.New(errdefs.ErrInvalid, "%s is commit %s, not %s as demanded", r.Name(), got, r.checksum)
}

// ask asks the remote.
func (r *repository) ask(ctx context.Context, env *Env) (c commit, err error) {
	err = r.with(ctx, env, func(g git) error {
		if r.ref == "" {
			out, err := g.run(ctx, "ls-remote", "--symref", "--", r.url(), "HEAD")
			if err != nil {
				return err
			}
			c, err = parseHead(out)
			return err
		}
		out, err := g.run(ctx, "ls-remote", "--", r.url(), r.ref, r.ref+"^{}")
		if err != nil {
			return err
		}
		c, err = parseRefs(out, r.ref)
		return err
	})
	if err != nil {
		return commit{}, fmt.Errorf("%s: %w", r.Name(), err)
	}
	return c, nil
}

// parseHead reads what ls-remote --symref says of HEAD.
func parseHead(out string) (commit, error) {
	c := commit{Ref: "HEAD"}
	for _, line := range strings.Split(out, "\n") {
		left, right, _ := strings.Cut(line, "\t")
		if right != "HEAD" {
			continue
		}
		if ref, ok := strings.CutPrefix(left, "ref: "); ok {
			c.Ref = ref
		} else if gitutil.IsCommitSHA(left) {
			c.Object = left
		}
	}
	if c.Object == "" {
		return c, errdefs.New(errdefs.ErrNotFound, "the repository has no default branch (name one: #BRANCH)")
	}
	return c, nil
}

// parseRefs finds a ref in what ls-remote says: as it is written, a branch, a tag, in this order.
func parseRefs(out, ref string) (commit, error) {
	found := map[string]string{}
	for _, line := range strings.Split(out, "\n") {
		if object, name, ok := strings.Cut(line, "\t"); ok && gitutil.IsCommitSHA(object) {
			found[name] = object
		}
	}
	short := strings.TrimPrefix(ref, "refs/")
	for _, name := range []string{"refs/" + short, "refs/heads/" + strings.TrimPrefix(short, "heads/"), "refs/tags/" + strings.TrimPrefix(short, "tags/")} {
		if object, ok := found[name]; ok {
			return commit{Ref: name, Object: object, Commit: found[name+"^{}"]}, nil
		}
	}
	return commit{}, errdefs.New(errdefs.ErrNotFound, "the repository has no branch or tag %q", ref)
}

// with makes what git needs for the remote, and takes it away again.
func (r *repository) with(ctx context.Context, env *Env, do func(git) error) error {
	header, err := r.header(ctx, env)
	if err != nil {
		return err
	}
	var g git
	if u, err := url.Parse(r.remote.Remote); err == nil && u.Scheme != "ssh" && u.Host != "" {
		if g.secrets, err = logins(u, header); err != nil {
			return err
		}
		if g.secrets != nil {
			defer g.secrets.Close()
		}
	}
	ssh, done, err := r.ssh(ctx, env)
	if err != nil {
		return err
	}
	defer done()
	g.env = ssh
	return do(g)
}

// header is the Authorization header for the remote, from a secret for its host or for all.
func (r *repository) header(ctx context.Context, env *Env) (string, error) {
	for _, suffix := range []string{"." + r.remote.Host, ""} {
		for _, s := range []struct {
			name  string
			token bool
		}{{r.headerSecret, false}, {r.tokenSecret, true}} {
			if s.name == "" {
				continue
			}
			value, err := env.secret(ctx, s.name+suffix)
			if err != nil {
				return "", err
			}
			if value == nil {
				continue
			}
			if s.token {
				value = []byte("basic " + base64.StdEncoding.EncodeToString([]byte("x-access-token:"+strings.TrimSpace(string(value)))))
			}
			return "Authorization: " + strings.TrimSpace(string(value)), nil
		}
	}
	return "", nil
}

// ssh is the environment for remotes that are reached by it: the agent that was forwarded, and which hosts are known.
func (r *repository) ssh(ctx context.Context, env *Env) (vars []string, done func(), err error) {
	command := "ssh -F /dev/null -o BatchMode=yes"
	var undo []func()
	done = func() {
		for _, u := range undo {
			u()
		}
	}
	if r.knownHosts == "" {
		command += " -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
	} else {
		dir, err := os.MkdirTemp(env.Dirs.Run, "ssh-")
		if err != nil {
			return nil, done, err
		}
		undo = append(undo, func() { os.RemoveAll(dir) })
		file := filepath.Join(dir, "known_hosts")
		if err := os.WriteFile(file, []byte(r.knownHosts), 0o600); err != nil {
			return nil, done, err
		}
		command += " -o StrictHostKeyChecking=yes -o GlobalKnownHostsFile=/dev/null -o UserKnownHostsFile=" + file
	}
	vars = append(vars, "GIT_SSH_COMMAND="+command)
	if r.agent == "" || env.Sessions == nil || env.Session == nil {
		return vars, done, nil
	}
	socket, end, err := agentSocket(ctx, env, r.agent)
	if err != nil {
		done()
		if ctx.Err() != nil {
			return nil, func() {}, context.Cause(ctx)
		}
		return nil, func() {}, errdefs.New(errdefs.ErrUnsupported, "no ssh agent %q is there for this repository (build with --ssh %s): %s", r.agent, r.agent, status.Convert(err).Message())
	}
	undo = append(undo, func() { _ = end() })
	return append(vars, "SSH_AUTH_SOCK="+socket), done, nil
}

func agentSocket(ctx context.Context, env *Env, id string) (socket string, end func() error, err error) {
	err = env.Sessions.Any(ctx, env.Session, func(ctx context.Context, _ string, c session.Caller) error {
		if err := sshforward.CheckSSHID(ctx, c, id); err != nil {
			return err
		}
		socket, end, err = sshforward.MountSSHSocket(ctx, c, sshforward.SocketOpt{ID: id, UID: os.Geteuid(), GID: os.Getegid(), Mode: 0o700})
		return err
	})
	return socket, end, err
}

func (r *repository) metadata(ctx context.Context, env *Env, opt *sourceresolver.ResolveGitOpt) (*sourceresolver.ResolveGitResponse, error) {
	if opt != nil && opt.ReturnObject {
		return nil, errdefs.New(errdefs.ErrUnsupported, "%s: objects of git cannot be asked for", r.Name())
	}
	c, err := r.resolve(ctx, env)
	if err != nil {
		return nil, err
	}
	return &sourceresolver.ResolveGitResponse{Checksum: c.Object, Ref: c.Ref, CommitChecksum: c.Commit}, nil
}

// locked runs do while nobody else works with the copy of the remote that is kept, which it makes if need be.
func (r *repository) locked(ctx context.Context, env *Env, format string, do func(bare string) error) error {
	name := digest.FromString(r.url() + format).Encoded()[:32]
	bare := filepath.Join(env.work("git"), name)
	sweep(filepath.Dir(bare))
	return buildcache.Locked(ctx, env.Dirs, "git-"+name, func() error {
		if _, err := env.claimShared(bare); err != nil {
			return err
		}
		about(bare, r.url())
		return do(bare)
	})
}
