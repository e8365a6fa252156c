// Package source finds and fetches what a build starts from: local directories, images, layouts of images, git
// repositories and downloads.
package source

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"

	"github.com/wherry-containers/wherry/buildah/content"
	"github.com/wherry-containers/wherry/buildah/tree"
	"github.com/wherry-containers/wherry/pkg/buildcache"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/layout"
	"github.com/wherry-containers/wherry/pkg/registry/access"
)

// Source is one source operation of a build.
type Source interface {
	// Name is the source as LLB writes it.
	Name() string
	// Key resolves the source. pin is what its name stands for now: an image's digest, a commit, a checksum. The key is
	// empty where only the content counts, which is known when it was fetched: a local directory.
	Key(ctx context.Context, env *Env) (key digest.Digest, pin string, err error)
	// Fetch makes the tree. Until Env.Hold's functions are called it stays as it is.
	Fetch(ctx context.Context, env *Env) (*tree.Tree, error)
}

// Env is what sources need from their surroundings. Progress and logs go to BuildKit's writers in the context.
type Env struct {
	Dirs     layout.Dirs
	Session  session.Group    // whom to ask for directories, secrets and log-ins
	Sessions *session.Manager // the way to them
	// Local finds the directory behind a name of a session that lives in this very process, so that nothing has to be
	// sent; nil: none does.
	Local func(session, name string) (dir string, ok bool)
	Image image.Config         // for pulls; its Watch is the source's own
	Hold  func(release func()) // called with what is to be done when the build is over
	Memo  *Memo                // of the build; nil: each step asks anew
	// OwnLogins: whoever builds is this process' user, so that his log-ins are known here better than through the session.
	OwnLogins bool
	// Access and Retry say how registries are asked on behalf of that user.
	Access    access.Options
	Retry     *option.Retry // nil: pulls are tried again, questions are not
	NeverPull bool          // no registry is asked: an image has to be in the store
	// Getenv is the environment of whoever builds, for git and proxies.
	Getenv func(string) string
}

// Identify says what a source operation is about. p is the platform of the vertex, nil is this machine's.
func Identify(op *pb.SourceOp, p *pb.Platform) (Source, error) {
	scheme, rest, ok := strings.Cut(op.Identifier, "://")
	if !ok {
		return nil, errdefs.New(errdefs.ErrInvalid, "source %q has no scheme", op.Identifier)
	}
	switch scheme {
	case "local":
		return newLocal(rest, op.Attrs)
	case "oci-layout":
		return newLayout(rest, op.Attrs, p)
	case "git":
		return newRepository(rest, op.Attrs)
	case "http", "https":
		return newDownload(op.Identifier, op.Attrs)
	case "docker-image":
		return newImage(rest, op.Attrs, p)
	}
	return nil, errdefs.New(errdefs.ErrUnsupported, "source %q: %s sources are not supported", op.Identifier, scheme)
}

// memory is where digests of files in directories that stay are remembered.
func (e *Env) memory() *content.Memory { return content.NewMemory(e.Dirs.Cache() + "/filesums") }

// work is where sources keep what they fetched.
func (e *Env) work(kind string) string { return filepath.Join(buildcache.SourcesDir(e.Dirs), kind) }

func (e *Env) hold(release func()) {
	if e.Hold != nil {
		e.Hold(release)
	}
}
