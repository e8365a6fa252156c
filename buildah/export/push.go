package export

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/wherry-containers/wherry/pkg/image"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

// pushRetries is how often a push is tried again after a fault of the network, where nobody says how often.
const pushRetries = 3

// push sends the result to the registries of its names.
func (j *job) push(ctx context.Context) (map[string]string, error) {
	a, err := j.assemblePacked(ctx)
	if err != nil {
		return nil, err
	}
	defer a.close()
	dir, err := j.o.Images.WorkDir("push-")
	if err != nil {
		return nil, err
	}
	index, err := json.Marshal(ocispecs.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispecs.MediaTypeImageIndex,
		Manifests: []ocispecs.Descriptor{{MediaType: a.desc.MediaType, Digest: a.desc.Digest, Size: a.desc.Size}}})
	if err != nil {
		return nil, err
	}
	if err := a.provider().layout(dir, index); err != nil {
		return nil, fmt.Errorf("gather what is pushed: %w", err)
	}
	for _, name := range j.settings.names {
		target := name
		if j.settings.byDigest {
			target = image.WithDigest(name, a.desc.Digest)
		}
		o := j.layoutPush(ctx, j.settings.insecure)
		err := j.step(ctx, "pushing layers and manifest for "+target, func() error { return j.o.Images.PushLayout(ctx, dir, target, o) })
		if err != nil {
			return nil, fmt.Errorf("failed to push %s: %w", name, err)
		}
	}
	return response(a.desc, a.config(), j.settings.names)
}

// layoutPush is how the client talks to registries.
func (j *job) layoutPush(ctx context.Context, insecure bool) image.LayoutPush {
	o := image.LayoutPush{Insecure: insecure, Access: j.Access, Retry: option.Retry{Max: pushRetries}, Credentials: j.credentials(ctx)}
	if j.Retry != nil {
		o.Retry = *j.Retry
	}
	return o
}

// credentials asks the client who it is at a registry.
func (j *job) credentials(ctx context.Context) func(host string) (user, secret string, err error) {
	if j.o.Sessions == nil || j.SessionID == "" {
		return nil
	}
	ask := auth.CredentialsFunc(ctx, j.o.Sessions, session.NewGroup(j.SessionID))
	return func(host string) (string, string, error) {
		if host == "docker.io" {
			host = "registry-1.docker.io" // as clients know it
		}
		_, user, secret, err := ask(host)
		return user, secret, err
	}
}
