package source

import (
	"context"

	"github.com/containers/image/v5/docker/reference"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/registry/access"
)

// Rights are how whoever asked for the build is known to the registry of an image's name.
func (e *Env) Rights(ctx context.Context, name string) (access.Options, error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return access.Options{}, errdefs.New(errdefs.ErrInvalid, "image name %q: %v", name, err)
	}
	return e.rights(ctx, named)
}
