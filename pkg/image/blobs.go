package image

import (
	"context"
	"io"

	"github.com/containers/image/v5/docker"
	"github.com/containers/image/v5/manifest"
	"github.com/containers/image/v5/pkg/blobinfocache/none"
	"github.com/containers/image/v5/types"
	"github.com/opencontainers/go-digest"

	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/registry/access"
)

// RemoteBlobs reads what a repository of a registry has, piece by piece. Close it.
type RemoteBlobs struct {
	src types.ImageSource
	sys *types.SystemContext
	ref types.ImageReference
}

// OpenBlobs finds a name at its registry.
func OpenBlobs(ctx context.Context, cfg Config, name string, opts access.Options) (*RemoteBlobs, error) {
	named, err := Normalize(name)
	if err != nil {
		return nil, err
	}
	s := &Session{cfg: cfg, sys: SystemContext(cfg)}
	r := &RemoteBlobs{}
	if r.sys, err = s.registryContext(named.String(), opts, option.Platform{}); err != nil {
		return nil, err
	}
	if r.ref, err = docker.NewReference(named); err != nil {
		return nil, err
	}
	if r.src, err = r.ref.NewImageSource(ctx, r.sys); err != nil {
		return nil, explainRegistry("read", err, named)
	}
	return r, nil
}

// Manifest is what the name stands for; of an index, the image for this machine.
func (r *RemoteBlobs) Manifest(ctx context.Context) ([]byte, error) {
	raw, mime, err := r.src.GetManifest(ctx, nil)
	if err != nil || !manifest.MIMETypeIsMultiImage(mime) {
		return raw, err
	}
	list, err := manifest.ListFromBlob(raw, mime)
	if err != nil {
		return nil, err
	}
	instance, err := list.ChooseInstance(r.sys)
	if err != nil {
		return raw, nil // a list of something else
	}
	raw, _, err = r.src.GetManifest(ctx, &instance)
	return raw, err
}

// Blob opens a blob. That it is what its digest says is for the caller to find out.
func (r *RemoteBlobs) Blob(ctx context.Context, d digest.Digest, size int64) (io.ReadCloser, error) {
	blob, _, err := r.src.GetBlob(ctx, types.BlobInfo{Digest: d, Size: size}, none.NoCache)
	return blob, err
}

// Close ends the connection.
func (r *RemoteBlobs) Close() error { return r.src.Close() }
