package source

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	blobstore "github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/session/auth"
	sessioncontent "github.com/moby/buildkit/session/content"
	"github.com/moby/buildkit/solver/pb"
	imgspec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"

	"github.com/wherry-containers/wherry/pkg/store"
	fake "github.com/wherry-containers/wherry/test/registry"
)

// oneImage is an image with a layer for each text.
func oneImage(t *testing.T, p *v1.Platform, texts ...string) v1.Image {
	t.Helper()
	img := v1.Image(empty.Image)
	for _, text := range texts {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		noError(t, w.WriteHeader(&tar.Header{Name: "file", Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}))
		_, err := io.WriteString(w, text)
		noError(t, err)
		noError(t, w.Close())
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
		noError(t, err)
		img, err = mutate.AppendLayers(img, layer)
		noError(t, err)
	}
	img, err := mutate.ConfigFile(img, func() *v1.ConfigFile {
		c, err := img.ConfigFile()
		noError(t, err)
		c.OS, c.Architecture, c.Variant = p.OS, p.Architecture, p.Variant
		return c
	}())
	noError(t, err)
	return img
}

var (
	here  = &v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	other = &v1.Platform{OS: "linux", Architecture: "s390x"}
)

func twoPlatforms(t *testing.T, text string) v1.ImageIndex {
	t.Helper()
	index := v1.ImageIndex(empty.Index)
	for _, p := range []*v1.Platform{here, other} {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: oneImage(t, p, text+p.Architecture, "top"), Descriptor: v1.Descriptor{Platform: p}})
	}
	return index
}

func pushIndex(t *testing.T, ref string, index v1.ImageIndex) string {
	t.Helper()
	to, err := name.ParseReference(ref, name.Insecure)
	noError(t, err)
	noError(t, remote.WriteIndex(to, index))
	d, err := index.Digest()
	noError(t, err)
	return d.String()
}

func imageSource(t *testing.T, ref string, arch string, attrs map[string]string) Source {
	t.Helper()
	s, err := Identify(&pb.SourceOp{Identifier: "docker-image://" + ref, Attrs: attrs}, &pb.Platform{OS: "linux", Architecture: arch})
	noError(t, err)
	return s
}

func TestImage(t *testing.T) {
	t.Parallel()
	r := fake.Start(t, fake.Options{})
	ref := r.Host + "/team/base:1"
	sum := pushIndex(t, ref, twoPlatforms(t, "one"))
	env := newEnv(t)

	key, pin, err := imageSource(t, ref, here.Architecture, nil).Key(t.Context(), env)
	noError(t, err)
	if pin != sum || len(mustImages(t, env)) != 0 {
		t.Errorf("pin %s, want %s; %d images are here without need", pin, sum, len(mustImages(t, env)))
	}
	tr, err := imageSource(t, ref, here.Architecture, nil).Fetch(t.Context(), env)
	noError(t, err)
	img, err := store.Open(env.Dirs).Lookup(t.Context(), ref)
	noError(t, err)
	if len(tr.Layers) != 2 || tr.Layers[1] != img.TopLayer() || tr.Pin != sum {
		t.Errorf("layers %v, pin %s", tr.Layers, tr.Pin)
	}
	foreign, err := imageSource(t, ref, other.Architecture, nil).Fetch(t.Context(), env)
	noError(t, err)
	again, err := store.Open(env.Dirs).Lookup(t.Context(), ref)
	if err != nil || again.ID != img.ID || foreign.Layers[0] == tr.Layers[0] {
		t.Errorf("the image for %s took the name: %v", other, err)
	}
	limited, err := imageSource(t, ref, here.Architecture, map[string]string{pb.AttrImageLayerLimit: "1"}).Fetch(t.Context(), env)
	if err != nil || len(limited.Layers) != 1 || limited.Layers[0] != tr.Layers[0] {
		t.Errorf("one layer: %v, %v", limited, err)
	}

	r.Stop() // what is here needs no registry
	for _, arch := range []string{here.Architecture, other.Architecture} {
		for _, name := range []string{ref, ref + "@" + sum, r.Host + "/team/base@" + sum} {
			s := imageSource(t, name, arch, nil)
			got, pin, err := s.Key(t.Context(), env)
			if err != nil || pin != sum || (arch == here.Architecture) != (got == key) {
				t.Errorf("%s for %s: key %s, pin %s, %v", name, arch, got, pin, err)
			}
			if _, err := s.Fetch(t.Context(), env); err != nil {
				t.Errorf("%s for %s: %v", name, arch, err)
			}
		}
	}
	_, _, err = imageSource(t, ref, here.Architecture, map[string]string{pb.AttrImageResolveMode: "pull"}).Key(t.Context(), env)
	says(t, err, "connection refused")
}

func mustImages(t *testing.T, env *Env) []store.Image {
	t.Helper()
	images, err := store.Open(env.Dirs).Images(t.Context())
	noError(t, err)
	return images
}

func TestImageErrors(t *testing.T) {
	t.Parallel()
	r := fake.Start(t, fake.Options{})
	ref := r.Host + "/base:1"
	sum := pushIndex(t, ref, twoPlatforms(t, "one"))
	env := newEnv(t)
	for _, c := range []struct {
		name, arch string
		attrs      map[string]string
		err        string
	}{
		{ref, "riscv64", nil, "linux/s390x"},
		{r.Host + "/base:2", "amd64", nil, "base"},
		{ref, here.Architecture, map[string]string{pb.AttrImageChecksum: "sha256:" + string(bytes.Repeat([]byte("0"), 64))}, "not sha256:000"},
		{ref, here.Architecture, map[string]string{pb.AttrImageChecksum: sum}, ""},
	} {
		_, _, err := imageSource(t, c.name, c.arch, c.attrs).Key(t.Context(), env)
		says(t, err, c.err)
	}
	_, err := Identify(&pb.SourceOp{Identifier: "docker-image://UPPER"}, nil)
	says(t, err, "UPPER")
	_, err = Identify(&pb.SourceOp{Identifier: "docker-image://a", Attrs: map[string]string{pb.AttrImageResolveMode: "x"}}, nil)
	says(t, err, "resolve mode")
}

// TestImageMoves has the tag moved in the registry: it counts when the user asks for it only.
func TestImageMoves(t *testing.T) {
	t.Parallel()
	r := fake.Start(t, fake.Options{})
	ref := r.Host + "/base:1"
	old := pushIndex(t, ref, twoPlatforms(t, "one"))
	env := newEnv(t)
	_, err := imageSource(t, ref, here.Architecture, nil).Fetch(t.Context(), env)
	noError(t, err)
	now := pushIndex(t, ref, twoPlatforms(t, "two"))
	for mode, want := range map[string]string{"default": old, "local": old, "pull": now} {
		m, err := Metadata(t.Context(), &pb.SourceOp{Identifier: "docker-image://" + ref}, sourceresolver.Opt{ImageOpt: &sourceresolver.ResolveImageOpt{ResolveMode: mode}}, env)
		if err != nil || string(m.Image.Digest) != want || len(m.Image.Config) == 0 {
			t.Errorf("%s: %v, %v", mode, m, err)
		}
	}
}

// credentials is the part of a session that logs in.
type credentials struct {
	auth.UnimplementedAuthServer
	user, secret string
}

func (c *credentials) Register(s *grpc.Server) { auth.RegisterAuthServer(s, c) }

func (c *credentials) Credentials(context.Context, *auth.CredentialsRequest) (*auth.CredentialsResponse, error) {
	return &auth.CredentialsResponse{Username: c.user, Secret: c.secret}, nil
}

func TestImageLogins(t *testing.T) {
	t.Parallel()
	r := fake.Start(t, fake.Options{User: "u", Password: "p"})
	for _, c := range []struct{ user, secret, err string }{{"u", "p", "base"}, {"u", "x", "log-in"}, {"", "", "log-in"}} {
		env := newEnv(t)
		attach(t, env, &credentials{user: c.user, secret: c.secret})
		_, _, err := imageSource(t, r.Host+"/base:1", here.Architecture, nil).Key(t.Context(), env)
		says(t, err, c.err)
	}
}

// TestLayout brings an image from a layout on the side of the session.
func TestLayout(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "layout")
	index := twoPlatforms(t, "one")
	_, err := layout.Write(dir, index)
	noError(t, err)
	sum, err := index.Digest()
	noError(t, err)
	raw, err := index.RawManifest()
	noError(t, err)
	noError(t, os.WriteFile(filepath.Join(dir, imgspec.ImageBlobsDir, "sha256", sum.Hex), raw, 0o644))
	blobs, err := blobstore.NewStore(dir)
	noError(t, err)
	env := newEnv(t)
	attach(t, env, sessioncontent.NewAttachable(map[string]content.Store{"oci:mine": blobs}))
	attrs := map[string]string{pb.AttrOCILayoutStoreID: "mine"}
	var keys []string
	for _, arch := range []string{here.Architecture, other.Architecture} {
		s, err := Identify(&pb.SourceOp{Identifier: "oci-layout://some/name@" + sum.String(), Attrs: attrs}, &pb.Platform{OS: "linux", Architecture: arch})
		noError(t, err)
		key, pin, err := s.Key(t.Context(), env)
		noError(t, err)
		tr, err := s.Fetch(t.Context(), env)
		noError(t, err)
		if pin != sum.String() || len(tr.Layers) != 2 {
			t.Errorf("%s: pin %s, layers %v", arch, pin, tr.Layers)
		}
		keys = append(keys, key.String())
	}
	if keys[0] == keys[1] {
		t.Error("both platforms have one key")
	}
	s, err := Identify(&pb.SourceOp{Identifier: "oci-layout://some/name@" + sum.String(), Attrs: attrs}, &pb.Platform{OS: "linux", Architecture: "riscv64"})
	noError(t, err)
	_, _, err = s.Key(t.Context(), env)
	says(t, err, "no image for platform linux/riscv64")
	_, err = Identify(&pb.SourceOp{Identifier: "oci-layout://some/name:tag"}, nil)
	says(t, err, "NAME@DIGEST")
}
