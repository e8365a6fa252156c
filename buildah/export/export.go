// Package export brings what a build has made to where it is wanted: into the store as an image, to a registry, into
// archives and directories of the client. Images are as BuildKit's exporters make them, field by field.
package export

import (
	"context"
	"fmt"
	"io"
	"maps"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver/result"

	"github.com/wherry-containers/wherry/buildah/layers"
	"github.com/wherry-containers/wherry/buildah/tree"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/layout"
	"github.com/wherry-containers/wherry/pkg/registry/access"
)

// Result is what a build has made.
type Result = result.Result[*tree.Tree]

// Attestation is what a build says of what it has made.
type Attestation = result.Attestation[*tree.Tree]

// Options are what an Exporter needs from its surroundings.
type Options struct {
	Dirs     layout.Dirs
	Images   *image.Session
	Layers   *layers.Store
	Sessions *session.Manager
	// Layered makes layers of a tree that is a directory. nil: such a tree can only go to a directory or a tar archive.
	Layered func(ctx context.Context, t *tree.Tree) ([]string, error)
	// Describe says which step made a layer, for images whose configuration does not; it may be nil.
	Describe func(layer string) string
}

// Exporter exports. It may be used by several goroutines.
type Exporter struct{ o Options }

// New makes an Exporter.
func New(o Options) *Exporter { return &Exporter{o: o} }

// Request is one output of a build.
type Request struct {
	Type        string // image, registry, oci, docker, local, tar
	ID          int    // place in the client's list of outputs
	Attrs       map[string]string
	Result      *Result
	SessionID   string
	InlineCache exptypes.InlineCache // of this build, for the image's configuration; nil: none
	Progress    Progress             // may be nil
	// Access and Retry say how registries are asked.
	Access access.Options
	Retry  *option.Retry // nil: as often as is usual

	// Where the client is this very process: where an output goes, by its place in the client's list.
	Dirs  map[int]string
	Files map[int]func(map[string]string) (io.WriteCloser, error)
}

// Progress hears of the steps of an export.
type Progress interface {
	// Step begins a step of that name; what it returns ends it, and hands the error on.
	Step(ctx context.Context, name string) func(error) error
}

// Name is what users see of an output.
func (r *Request) Name() string {
	switch r.Type {
	case client.ExporterImage, registryType:
		return "exporting to image"
	case client.ExporterOCI, client.ExporterDocker:
		return fmt.Sprintf("exporting to %s image format", r.Type)
	case client.ExporterLocal:
		return "exporting to client directory"
	case client.ExporterTar:
		return "exporting to client tarball"
	}
	return "exporting"
}

// registryType is buildx' word for an image that is only pushed.
const registryType = "registry"

// Check finds what is wrong with an output before anything is built.
func (e *Exporter) Check(r Request) error {
	_, err := parse(r)
	return err
}

// Export brings the result to one output and says what became of it, in BuildKit's words.
func (e *Exporter) Export(ctx context.Context, r Request) (map[string]string, error) {
	o, err := parse(r)
	if err != nil {
		return nil, err
	}
	if r.Result == nil {
		return nil, errdefs.New(errdefs.ErrInvalid, "the build has no result to export")
	}
	if r.Result = r.Result.Clone(); r.Result.Metadata == nil {
		r.Result.Metadata = map[string][]byte{}
	}
	maps.Copy(r.Result.Metadata, o.meta)
	j := &job{Exporter: e, Request: r, settings: o}
	switch r.Type {
	case client.ExporterImage, registryType:
		return j.image(ctx)
	case client.ExporterOCI, client.ExporterDocker:
		return j.archive(ctx)
	case client.ExporterLocal:
		return nil, j.local(ctx)
	default:
		return nil, j.tar(ctx)
	}
}

// job is one export on its way.
type job struct {
	*Exporter
	Request
	settings settings
}

// step runs a part of the export that users see.
func (j *job) step(ctx context.Context, name string, do func() error) error {
	if j.Progress == nil {
		return do()
	}
	done := j.Progress.Step(ctx, name)
	return done(do())
}
