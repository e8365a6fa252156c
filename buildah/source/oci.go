package source

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/manifest"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/session"
	sessioncontent "github.com/moby/buildkit/session/content"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	imgspec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/wherry-containers/wherry/buildah/tree"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/store"
)

// layoutImage is an image of an OCI layout on the side of whoever asked for the build.
type layoutImage struct {
	name           string
	digest         digest.Digest
	platform       option.Platform
	session, store string
	limit          int
}

func newLayout(name string, attrs map[string]string, p *pb.Platform) (Source, error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, errdefs.New(errdefs.ErrInvalid, "layout %q: %v", name, err)
	}
	digested, ok := named.(reference.Digested)
	if !ok {
		return nil, errdefs.New(errdefs.ErrInvalid, "layout %q: want NAME@DIGEST", name)
	}
	l := &layoutImage{name: name, digest: digested.Digest(), platform: platformOf(p), store: reference.TrimNamed(named).Name()}
	for key, value := range attrs {
		switch key {
		case pb.AttrOCILayoutSessionID:
			l.session = value
		case pb.AttrOCILayoutStoreID:
			l.store = value
		case pb.AttrOCILayoutLayerLimit:
			if l.limit, err = layerLimit(value); err != nil {
				return nil, fmt.Errorf("source oci-layout://%s: attribute %s: %w", name, key, err)
			}
		}
	}
	return l, nil
}

func (l *layoutImage) Name() string { return "oci-layout://" + l.name }

func (l *layoutImage) Key(ctx context.Context, env *Env) (digest.Digest, string, error) {
	f, err := l.find(ctx, env)
	if err != nil {
		return "", "", err
	}
	key, err := layersKey(f.config, l.limit)
	return key, string(l.digest), err
}

// Fetch copies the image into the store, unless its like is there.
func (l *layoutImage) Fetch(ctx context.Context, env *Env) (*tree.Tree, error) {
	f, err := l.find(ctx, env)
	if err != nil {
		return nil, err
	}
	images := store.Open(env.Dirs)
	if img, err := images.Lookup(ctx, string(f.manifest.Config.Digest)); err == nil {
		return imageTree(img, l.limit, string(l.digest)), nil
	}
	dir, err := l.download(ctx, env, f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.Name(), err)
	}
	defer os.RemoveAll(dir)
	cfg := env.Image
	layers := showLayers(ctx)
	defer layers.end()
	cfg.Watch = image.Watch{Blob: layers.blob}
	s, err := image.Open(cfg)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	id, err := s.FetchLayout(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.Name(), err)
	}
	img, err := images.Lookup(ctx, "sha256:"+id)
	if err != nil {
		return nil, err
	}
	return imageTree(img, l.limit, string(l.digest)), nil
}

func (l *layoutImage) metadata(ctx context.Context, env *Env, opt *sourceresolver.ResolveOCILayoutOpt) (*sourceresolver.ResolveImageResponse, error) {
	if opt != nil {
		l.platform = specPlatform(opt.Platform)
		if opt.Store.StoreID != "" {
			l.store = opt.Store.StoreID
		}
		if opt.Store.SessionID != "" {
			l.session = opt.Store.SessionID
		}
	}
	f, err := l.find(ctx, env)
	if err != nil {
		return nil, err
	}
	return &sourceresolver.ResolveImageResponse{Digest: l.digest, Config: f.config}, nil
}

// layoutFound is the image for the platform.
type layoutFound struct {
	descriptor imgspec.Descriptor
	raw        []byte
	manifest   imgspec.Manifest
	config     []byte
}

// maxDocument bounds manifests and configurations, which are kept in memory.
const maxDocument = 8 << 20

func (l *layoutImage) find(ctx context.Context, env *Env) (*layoutFound, error) {
	memo := fmt.Sprint("layout ", l.session, l.store, l.digest, l.platform)
	if v, ok := env.recall(memo); ok {
		return v.(*layoutFound), nil
	}
	f := &layoutFound{descriptor: imgspec.Descriptor{Digest: l.digest}}
	err := l.ask(ctx, env, func(read reader) error {
		raw, err := document(read, f.descriptor)
		if err != nil {
			return err
		}
		mime := manifest.GuessMIMEType(raw)
		if manifest.MIMETypeIsMultiImage(mime) {
			if f.descriptor, err = l.choose(raw, mime); err != nil {
				return err
			}
			if raw, err = document(read, f.descriptor); err != nil {
				return err
			}
			mime = manifest.GuessMIMEType(raw)
		}
		f.raw, f.descriptor.Size, f.descriptor.MediaType = raw, int64(len(raw)), mime
		if err := json.Unmarshal(raw, &f.manifest); err != nil {
			return errdefs.New(errdefs.ErrBroken, "the manifest: %v", err)
		}
		f.config, err = document(read, f.manifest.Config)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.Name(), err)
	}
	env.note(memo, f)
	return f, nil
}

func (l *layoutImage) choose(raw []byte, mime string) (imgspec.Descriptor, error) {
	list, err := manifest.ListFromBlob(raw, mime)
	if err != nil {
		return imgspec.Descriptor{}, errdefs.New(errdefs.ErrBroken, "the index: %v", err)
	}
	sys := platformContext(l.platform)
	instance, err := list.ChooseInstance(&sys)
	if err != nil {
		return imgspec.Descriptor{}, errdefs.New(errdefs.ErrNotFound, "there is no image for platform %s", l.platform)
	}
	return imgspec.Descriptor{Digest: instance}, nil
}

// reader opens a blob of the layout.
type reader func(imgspec.Descriptor) (io.ReadCloser, error)

// ask has do read from the first session that has the layout.
func (l *layoutImage) ask(ctx context.Context, env *Env, do func(reader) error) error {
	if env.Sessions == nil {
		return errNoSession
	}
	with := func(ctx context.Context, c session.Caller) error {
		blobs := sessioncontent.NewCallerStore(c, "oci:"+l.store)
		return do(func(d imgspec.Descriptor) (io.ReadCloser, error) {
			if d.Size == 0 {
				info, err := blobs.Info(ctx, d.Digest)
				if err != nil {
					return nil, err
				}
				d.Size = info.Size
			}
			at, err := blobs.ReaderAt(ctx, d)
			if err != nil {
				return nil, err
			}
			return struct {
				io.Reader
				io.Closer
			}{io.NewSectionReader(at, 0, at.Size()), at}, nil
		})
	}
	if l.session != "" {
		c, err := caller(ctx, env, l.session)
		if err != nil {
			return err
		}
		return with(c.Context(ctx), c)
	}
	return env.Sessions.Any(ctx, env.Session, func(ctx context.Context, _ string, c session.Caller) error { return with(ctx, c) })
}

// document reads a small blob and compares its digest.
func document(read reader, d imgspec.Descriptor) ([]byte, error) {
	if err := d.Digest.Validate(); err != nil {
		return nil, errdefs.New(errdefs.ErrBroken, "%q is no digest", string(d.Digest))
	}
	in, err := read(d)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, maxDocument+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxDocument || d.Digest.Algorithm().FromBytes(data) != d.Digest {
		return nil, errdefs.New(errdefs.ErrBroken, "blob %s is not what its digest says", d.Digest)
	}
	return data, nil
}

// download writes a layout of the one image, whose blobs are compared with their digests by who reads it.
func (l *layoutImage) download(ctx context.Context, env *Env, f *layoutFound) (string, error) {
	if err := os.MkdirAll(env.work("tmp"), 0o700); err != nil {
		return "", err
	}
	sweep(env.work("tmp"))
	dir, err := os.MkdirTemp(env.work("tmp"), temp)
	if err != nil {
		return "", err
	}
	err = l.ask(ctx, env, func(read reader) error {
		for _, d := range append(f.manifest.Layers, f.manifest.Config) {
			if err := writeBlob(dir, d, read); err != nil {
				return err
			}
		}
		return writeIndex(dir, f)
	})
	if err != nil {
		os.RemoveAll(dir)
		return "", err
	}
	return dir, nil
}

func blobPath(dir string, d digest.Digest) string {
	return filepath.Join(dir, imgspec.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}

func writeBlob(dir string, d imgspec.Descriptor, read reader) error {
	if err := d.Digest.Validate(); err != nil {
		return errdefs.New(errdefs.ErrBroken, "%q is no digest", string(d.Digest))
	}
	to := blobPath(dir, d.Digest)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	in, err := read(d)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := enoughSpace(dir, d.Size); err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	_, err = io.Copy(out, in)
	return err
}

func writeIndex(dir string, f *layoutFound) error {
	if err := os.WriteFile(blobPath(dir, f.descriptor.Digest), f.raw, 0o600); err != nil {
		return err
	}
	index, err := json.Marshal(imgspec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []imgspec.Descriptor{f.descriptor}})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, imgspec.ImageLayoutFile), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, imgspec.ImageIndexFile), index, 0o600)
}
