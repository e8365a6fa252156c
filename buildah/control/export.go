package control

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session"
)

// Export is one output of a build.
type Export struct {
	ID      int    // place among the outputs that the client asked for
	Type    string // in BuildKit's words: image, oci, docker, local, tar
	Attrs   map[string]string
	Result  *gateway.Result // its references are *gateway.Ref, made already
	Session session.Group
	Ref     string
	Inline  exptypes.InlineCache // what images say of how they were made; nil: nothing
}

// Exporter makes outputs.
type Exporter interface {
	// Check finds what is wrong with an output before anything is built. It has no result yet.
	Check(e Export) error
	// Export makes it and says what became of it, in BuildKit's words.
	Export(ctx context.Context, e Export) (map[string]string, error)
}

// exports are the outputs that a client asks for.
func (b *build) exports() []Export {
	var list []Export
	for i, out := range b.req.Exporters {
		if out.GetType() != "cacheonly" {
			list = append(list, Export{ID: i, Type: out.Type, Attrs: withEpoch(out.Attrs, b.req.FrontendAttrs), Session: b.job.Session, Ref: b.ref})
		}
	}
	return list
}

func (s *Server) checkExports(b *build) error {
	for _, e := range b.exports() {
		if err := s.opts.Exporter.Check(e); err != nil {
			return err
		}
	}
	return nil
}

// export makes the outputs one after the other: each is shown as a step.
func (s *Server) export(ctx context.Context, b *build, res *gateway.Result) (map[string]string, error) {
	response := map[string]string{}
	for name, value := range res.Metadata {
		if strings.HasPrefix(name, "frontend.") {
			response[name] = string(value)
		}
	}
	for _, e := range b.exports() {
		e.Result, e.Inline = res, s.inlineCache(b, res)
		err := b.job.Step(ctx, stepName(e.Type), func(ctx context.Context) error {
			said, err := s.opts.Exporter.Export(ctx, e)
			maps.Copy(response, said)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return response, nil
}

func stepName(kind string) string {
	switch kind {
	case "image", "moby":
		return "exporting to image"
	case "local":
		return "exporting to client directory"
	case "tar":
		return "exporting to client tarball"
	}
	return fmt.Sprintf("exporting to %s image format", kind)
}

// withEpoch gives an output the time that the build was asked to keep to.
func withEpoch(attrs, frontend map[string]string) map[string]string {
	attrs = maps.Clone(attrs)
	if attrs == nil {
		attrs = map[string]string{}
	}
	if epoch := frontend["build-arg:SOURCE_DATE_EPOCH"]; epoch != "" && attrs["source-date-epoch"] == "" {
		attrs["source-date-epoch"] = epoch
	}
	return attrs
}
