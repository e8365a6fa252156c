package buildah

import (
	"context"

	"github.com/wherry-containers/wherry/buildah/control"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// export makes one output.
func (b *Builder) export(_ context.Context, e control.Export) (map[string]string, error) {
	return nil, errdefs.New(errdefs.ErrUnsupported, "an output of type %s is not supported", e.Type)
}
