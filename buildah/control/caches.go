package control

import (
	"context"
	"fmt"
	"maps"
	"strconv"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/result"

	bridge "github.com/wherry-containers/wherry/buildah/gateway"
	"github.com/wherry-containers/wherry/buildah/solver"
)

// RemoteCaches are caches outside of the store.
type RemoteCaches interface {
	// Check finds what is wrong with caches before anything is built.
	Check(imports, exports []*controlapi.CacheOptionsEntry) error
	// Import reads one; the function that it returns is called when the build is over.
	Import(ctx context.Context, j *solver.Job, e *controlapi.CacheOptionsEntry) (solver.Remote, func(), error)
	// Export writes one and says what became of it, in BuildKit's words.
	Export(ctx context.Context, j *solver.Job, edges []solver.Edge, e *controlapi.CacheOptionsEntry) (map[string]string, error)
	// Inline is what an image says of how it was made.
	Inline(ctx context.Context, j *solver.Job, e solver.Edge) ([]byte, error)
}

const inlineType = "inline"

// place is where a cache is, as users know it.
func place(e *controlapi.CacheOptionsEntry) string {
	for _, name := range []string{"ref", "src", "dest"} {
		if v := e.Attrs[name]; v != "" {
			return v
		}
	}
	return e.Type
}

// importCaches reads the caches that the client names. One that cannot be read is shown, and the build goes on without.
func (s *Server) importCaches(ctx context.Context, b *build) (release func()) {
	var done []func()
	for _, e := range b.req.Cache.GetImports() {
		_ = b.job.Step(ctx, "importing cache manifest from "+place(e), func(ctx context.Context) error {
			remote, end, err := s.opts.Remote.Import(ctx, b.job, e)
			if err == nil {
				b.job.Remote = append(b.job.Remote, remote)
				done = append(done, end)
			}
			return err
		})
	}
	return func() {
		for _, end := range done {
			end()
		}
	}
}

// exportCaches writes the caches that the client asks for.
func (s *Server) exportCaches(ctx context.Context, b *build, res *gateway.Result, response map[string]string) error {
	edges := edgesOf(res)
	for _, e := range b.req.Cache.GetExports() {
		if e.Type == inlineType {
			continue
		}
		err := b.job.Step(ctx, fmt.Sprintf("exporting cache to %s %s", e.Type, place(e)), func(ctx context.Context) error {
			said, err := s.opts.Remote.Export(ctx, b.job, edges, e)
			maps.Copy(response, said)
			return err
		})
		if ignore, _ := strconv.ParseBool(e.Attrs["ignore-error"]); err != nil && !ignore {
			return fmt.Errorf("export the cache to %s: %w", place(e), err)
		}
	}
	return nil
}

func edgesOf(res *gateway.Result) (edges []solver.Edge) {
	_ = res.EachRef(func(r gateway.Reference) error {
		if ref, ok := r.(*bridge.Ref); ok && ref != nil {
			edges = append(edges, ref.Edge())
		}
		return nil
	})
	return edges
}

// inlineCache is what images say of how they were made; nil: the client did not ask for that.
func (s *Server) inlineCache(b *build, res *gateway.Result) exptypes.InlineCache {
	asked := false
	for _, e := range b.req.Cache.GetExports() {
		asked = asked || e.Type == inlineType
	}
	if !asked {
		return nil
	}
	return func(ctx context.Context) (*result.Result[*exptypes.InlineCacheEntry], error) {
		return result.ConvertResult(res, func(r gateway.Reference) (*exptypes.InlineCacheEntry, error) {
			ref, ok := r.(*bridge.Ref)
			if !ok || ref == nil {
				return nil, nil
			}
			data, err := s.opts.Remote.Inline(ctx, b.job, ref.Edge())
			if err != nil || data == nil {
				return nil, err
			}
			return &exptypes.InlineCacheEntry{Data: data}, nil
		})
	}
}
