package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/containers/image/v5/copy"
	"github.com/containers/image/v5/directory"
	darchive "github.com/containers/image/v5/docker/archive"
	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/oci/layout"
	istorage "github.com/containers/image/v5/storage"
	"github.com/containers/image/v5/types"
	"github.com/opencontainers/go-digest"
	imgspec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

// Load brings the images of an archive or directory into the store and returns their names, or sha256:ID for those
// that have none. What the input is, is found out by looking.
func (s *Session) Load(ctx context.Context, opts option.Load) ([]string, error) {
	path, what := opts.Input, opts.Input
	if path == "" || path == "-" {
		what = "standard input"
		var err error
		if path, err = s.spool(s.cfg.In); err != nil {
			return nil, explainLocal("load standard input", err)
		}
	}
	names, err := s.loadPath(ctx, path, opts.Quiet)
	for _, name := range names {
		if id, bare := strings.CutPrefix(name, "sha256:"); bare {
			s.note("load", id, "")
		} else {
			id := ""
			if img, err := s.lookup(ctx, name); err == nil {
				id = img.ID
			}
			s.note("load", id, name)
		}
	}
	if errors.As(err, new(*errdefs.Kinded)) { // tells what is wrong, not with what
		err = fmt.Errorf("load %s: %w", what, err)
	}
	return names, explainLocal("load "+what, err)
}

// spool keeps a stream in the work directory: archives have to be read twice.
func (s *Session) spool(in io.Reader) (string, error) {
	f, err := os.CreateTemp(s.work.path, "in-")
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, in)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	faultpoint.Hit("image.spooled")
	return f.Name(), err
}

func (s *Session) loadPath(ctx context.Context, path string, quiet bool) ([]string, error) {
	kind, err := sniff(path)
	if err != nil {
		return nil, err
	}
	switch kind {
	case kindDockerArchive:
		return s.loadDockerArchive(ctx, path, quiet)
	case kindOCIArchive:
		dir, err := s.unpackArchive(path)
		if err != nil {
			return nil, err
		}
		return s.loadLayout(ctx, dir, quiet)
	case kindLayout:
		return s.loadLayout(ctx, path, quiet)
	}
	ref, err := directory.NewReference(path)
	if err != nil {
		return nil, err
	}
	if ref, err = s.checked(ref); err != nil {
		return nil, err
	}
	return s.loadRef(ctx, ref, nil, quiet)
}

func (s *Session) loadDockerArchive(ctx context.Context, path string, quiet bool) ([]string, error) {
	reader, err := darchive.NewReader(&s.sys, path)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	images, err := reader.List()
	if err != nil {
		return nil, err
	}
	if len(images) == 0 {
		return nil, errdefs.New(errdefs.ErrInvalid, "the archive holds no image")
	}
	var loaded []string
	for _, refs := range images {
		names, err := s.loadRef(ctx, refs[0], archiveNames(refs), quiet)
		loaded = append(loaded, names...)
		if err != nil {
			return loaded, err
		}
	}
	return loaded, nil
}

// archiveNames are the names of one image of a Docker archive, which has a reference for each.
func archiveNames(refs []types.ImageReference) []string {
	var names []string
	for _, ref := range refs {
		if named := ref.DockerReference(); named != nil {
			names = append(names, named.String())
		}
	}
	return names
}

// loadLayout loads every image of an OCI directory.
func (s *Session) loadLayout(ctx context.Context, dir string, quiet bool) ([]string, error) {
	entries, err := listLayout(dir)
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, errdefs.New(errdefs.ErrInvalid, "the OCI directory holds no image")
	}
	var loaded []string
	for _, e := range entries {
		if err := checkManifest(dir, e.ManifestDescriptor); err != nil {
			return loaded, err
		}
		names, err := s.loadRef(ctx, e.Reference, layoutNames(e.ManifestDescriptor), quiet)
		loaded = append(loaded, names...)
		if err != nil {
			return loaded, err
		}
	}
	return loaded, nil
}

// layoutNames is what an entry of an OCI directory is called: in full by containerd and BuildKit, else by its
// ref.name.
func layoutNames(d imgspec.Descriptor) []string {
	for _, key := range []string{"io.containerd.image.name", imgspec.AnnotationRefName} {
		if name := d.Annotations[key]; name != "" {
			return []string{name}
		}
	}
	return nil
}

// loadRef copies one image and gives it its names. An image without one is named by its id.
func (s *Session) loadRef(ctx context.Context, src types.ImageReference, names []string, quiet bool) ([]string, error) {
	full, err := normalizeAll(names)
	if err != nil {
		return nil, err
	}
	var dst types.ImageReference
	if len(full) > 0 {
		dst, err = istorage.Transport.NewStoreReference(s.store, full[0], "")
	} else {
		dst, err = s.unnamedTarget(ctx, src)
	}
	if err != nil {
		return nil, err
	}
	var id string
	err = unlessRemoved(ctx, func() error {
		id, err = s.intoStore(ctx, transfer{src: src, dst: dst, quiet: quiet,
			options: copy.Options{SourceCtx: &s.sys, DestinationCtx: &s.sys}})
		if err != nil || len(full) < 2 {
			return err
		}
		return s.store.AddNames(id, fullStrings(full[1:]))
	})
	if err != nil {
		return nil, err
	}
	if len(full) == 0 {
		return []string{"sha256:" + id}, nil
	}
	out := make([]string, len(full))
	for i, name := range full {
		out[i] = reference.FamiliarString(name)
	}
	return out, nil
}

func normalizeAll(names []string) ([]reference.Named, error) {
	var out []reference.Named
	for _, name := range names {
		named, err := normalizeTag(name)
		if err != nil {
			return nil, err
		}
		out = append(out, named)
	}
	return out, nil
}

func fullStrings(names []reference.Named) []string {
	var out []string
	for _, n := range names {
		out = append(out, n.String())
	}
	return out
}

// unnamedTarget is the place of an image that has no name: its id is the digest of its configuration, as the store
// would choose it.
func (s *Session) unnamedTarget(ctx context.Context, src types.ImageReference) (types.ImageReference, error) {
	img, err := src.NewImage(ctx, &s.sys)
	if err != nil {
		return nil, err
	}
	defer img.Close()
	id := img.ConfigInfo().Digest
	if id.Validate() != nil || id.Algorithm() != digest.SHA256 {
		return nil, errdefs.New(errdefs.ErrUnsupported, "the image has no configuration to be named by")
	}
	return istorage.Transport.NewStoreReference(s.store, nil, id.Encoded())
}

// fromTransport is a pull from something other than a registry.
func (s *Session) fromTransport(ctx context.Context, ref types.ImageReference, quiet bool) ([]string, error) {
	what := ref.Transport().Name() + ":" + ref.StringWithinTransport()
	if ref.Transport().Name() == istorage.Transport.Name() {
		_, img, err := istorage.ResolveReference(ref)
		if err != nil {
			return nil, errdefs.New(errdefs.ErrNotFound, "pull %s: no such image", what)
		}
		return []string{img.ID}, nil
	}
	ref, err := s.checked(ref)
	if errors.As(err, new(*errdefs.Kinded)) { // tells what is wrong, not with what
		err = fmt.Errorf("pull %s: %w", what, err)
	}
	if err != nil {
		return nil, explainLocal("pull "+what, err)
	}
	names, err := s.loadRef(ctx, ref, transportNames(ref), quiet)
	if err != nil {
		return nil, explainLocal("pull "+what, err)
	}
	var ids []string
	for _, name := range names {
		img, err := s.lookup(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("pull %s: %w", what, err)
		}
		ids = append(ids, img.ID)
	}
	return ids[:1], nil
}

// transportNames is what a reference of an archive or directory says its image is called.
func transportNames(ref types.ImageReference) []string {
	if named := ref.DockerReference(); named != nil {
		return []string{named.String()}
	}
	if ref.Transport().Name() == layout.Transport.Name() {
		if d, err := layout.LoadManifestDescriptor(ref); err == nil {
			return layoutNames(d)
		}
	}
	return nil
}

func exists(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}
