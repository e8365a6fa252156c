package image

import (
	"context"
	"os"

	"github.com/containers/image/v5/copy"
	"github.com/containers/image/v5/docker"
	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/oci/layout"
	"github.com/opencontainers/go-digest"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/registry/access"
)

// LayoutPush says how an OCI layout is pushed.
type LayoutPush struct {
	Insecure bool // plain HTTP, and any certificate
	// Access says more about the registry.
	Access access.Options
	Retry  option.Retry
	// Credentials asks who the user is at a registry; empty answers: as the user has logged in. It may be nil.
	Credentials func(host string) (user, secret string, err error)
}

// WorkDir makes a directory that goes with the session.
func (s *Session) WorkDir(prefix string) (string, error) { return os.MkdirTemp(s.work.path, prefix) }

// WithDigest names the repository of a name with a digest.
func WithDigest(name string, d digest.Digest) string {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name // who uses it says what is wrong
	}
	canonical, err := reference.WithDigest(reference.TrimNamed(named), d)
	if err != nil {
		return name
	}
	return canonical.String()
}

// PushLayout copies the only entry of an OCI layout, an image or an index with all that it names, to a registry as it is.
func (s *Session) PushLayout(ctx context.Context, dir, destination string, o LayoutPush) error {
	named, err := Normalize(destination)
	if err != nil {
		return err
	}
	t := transfer{quiet: true, retry: o.Retry}
	if t.src, err = layout.NewReference(dir, ""); err != nil {
		return err
	}
	if t.dst, err = docker.NewReference(named); err != nil {
		return err
	}
	opts := o.Access
	if o.Insecure {
		verify := false
		opts.TLSVerify = &verify
	}
	if o.Credentials != nil {
		user, secret, err := o.Credentials(reference.Domain(named))
		if err != nil {
			return errdefs.New(errdefs.ErrInvalid, "log in at registry %s: %v", reference.Domain(named), err)
		}
		switch {
		case user != "":
			opts.Creds = user + ":" + secret
		case secret != "":
			opts.Token = secret
		}
	}
	sys, err := s.registryContext(named.String(), opts, option.Platform{})
	if err != nil {
		return err
	}
	t.options.SourceCtx, t.options.DestinationCtx = sys, sys
	t.options.ImageListSelection, t.options.PreserveDigests = copy.CopyAllImages, true
	if _, err := s.run(ctx, t); err != nil {
		return explainRegistry("push", err, named)
	}
	s.note("push", "", named.String())
	return nil
}
