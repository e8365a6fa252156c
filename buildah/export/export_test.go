package export

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/containers/common/libimage/manifests"
	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/result"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image/list"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/store"
	fake "github.com/wherry-containers/wherry/test/registry"
)

func TestImage(t *testing.T) {
	f := newFixture(t)
	out := f.export(Request{Type: "image", Attrs: map[string]string{"name": "one:1,example.com/two", "annotation.org.x": "y"}, Result: f.single("a", "b")})
	img := f.lookup("one:1")
	if "sha256:"+img.ID != out["containerimage.config.digest"] || img.Digest != out["containerimage.digest"] || out["image.name"] != "one:1,example.com/two" {
		t.Errorf("%+v is said to be %v", img, out)
	}
	if !slices.Equal(img.Names, []string{"docker.io/library/one:1", "example.com/two:latest"}) || len(img.Layers) != 2 {
		t.Errorf("%+v", img)
	}
	steps := img.History()
	if len(steps) != 3 || !steps[0].EmptyLayer || steps[1].CreatedBy != "step 1" || steps[1].Created == nil || steps[1].Layer != img.Layers[0] {
		t.Errorf("history %+v", steps)
	}
	var m ocispecs.Manifest
	data, err := f.images.Storage().ImageBigData(img.ID, "manifest")
	f.must(err)
	f.must(json.Unmarshal(data, &m))
	if m.MediaType != ocispecs.MediaTypeImageManifest || m.Annotations["org.x"] != "y" || len(m.Layers) != 2 || m.Layers[0].MediaType != ocispecs.MediaTypeImageLayer {
		t.Errorf("%s", data)
	}
	var desc ocispecs.Descriptor
	raw, err := base64.StdEncoding.DecodeString(out["containerimage.descriptor"])
	f.must(err)
	f.must(json.Unmarshal(raw, &desc))
	if desc.Digest != digest.FromBytes(data) {
		t.Errorf("%s", raw)
	}
}

// A second build of the same is the same image; a name moves from one image to the next.
func TestImageAgain(t *testing.T) {
	f := newFixture(t)
	r := f.single("a")
	one := f.export(Request{Type: "image", Attrs: map[string]string{"name": "x"}, Result: r})
	two := f.export(Request{Type: "image", Attrs: map[string]string{"name": "x,y"}, Result: r})
	if !maps.Equal(map[string]string{"d": one["containerimage.digest"]}, map[string]string{"d": two["containerimage.digest"]}) {
		t.Errorf("%v, again %v", one, two)
	}
	docker := f.export(Request{Type: "image", Attrs: map[string]string{"name": "x", "oci-mediatypes": "false"}, Result: r})
	if img := f.lookup("x"); img.Digest == one["containerimage.digest"] && docker["containerimage.digest"] == img.Digest {
		t.Errorf("still %s", img.Digest)
	}
	f.export(Request{Type: "image", Attrs: map[string]string{"name": "x"}, Result: f.single("b")})
	if f.lookup("x").ID == f.lookup("y").ID {
		t.Error("the name did not move")
	}
}

func TestScratch(t *testing.T) {
	f := newFixture(t)
	f.export(Request{Type: "image", Attrs: map[string]string{"name": "empty"}, Result: &Result{}})
	if img := f.lookup("empty"); len(img.Layers) != 0 || img.Config.OS != "linux" || len(img.Config.Config.Env) != 1 {
		t.Errorf("%+v", img)
	}
}

func TestRewriteTimestamp(t *testing.T) {
	f := newFixture(t)
	attrs := map[string]string{"name": "x", "rewrite-timestamp": "true", "source-date-epoch": "1000000000"}
	out := f.export(Request{Type: "image", Attrs: attrs, Result: f.single("a", "b")})
	img := f.lookup("x")
	for _, h := range img.Config.History {
		if !h.Created.Equal(longAgo) {
			t.Errorf("%+v", h)
		}
	}
	for _, dir := range img.Lower {
		names, err := os.ReadDir(dir)
		f.must(err)
		if info, err := names[0].Info(); err != nil || !info.ModTime().Equal(longAgo) {
			t.Errorf("%s %v %v", names[0].Name(), info.ModTime(), err)
		}
	}
	// Made anew from nothing it is bit by bit the same.
	g := newFixture(t)
	if again := g.export(Request{Type: "image", Attrs: attrs, Result: g.single("a", "b")}); again["containerimage.digest"] != out["containerimage.digest"] {
		t.Errorf("%s, later %s", out["containerimage.digest"], again["containerimage.digest"])
	}
}

// files unpacks an archive in memory.
func files(t *testing.T, data []byte) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	for in := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		found[h.Name] = content
	}
}

type buffer struct{ bytes.Buffer }

func (*buffer) Close() error { return nil }

func (f *fixture) archive(kind string, attrs map[string]string, r *Result) (map[string][]byte, map[string]string) {
	f.t.Helper()
	out := &buffer{}
	said := f.export(Request{Type: kind, Attrs: attrs, Result: r, Files: map[int]func(map[string]string) (io.WriteCloser, error){
		0: func(map[string]string) (io.WriteCloser, error) { return out, nil }}})
	return files(f.t, out.Bytes()), said
}

func TestArchives(t *testing.T) {
	f := newFixture(t)
	r := f.single("a", "b")
	for kind, suffix := range map[string]string{"gzip": "+gzip", "zstd": "+zstd", "uncompressed": ".tar"} {
		found, said := f.archive("oci", map[string]string{"name": "x:1", "compression": kind}, r)
		var index ocispecs.Index
		f.must(json.Unmarshal(found["index.json"], &index))
		var m ocispecs.Manifest
		f.must(json.Unmarshal(found["blobs/sha256/"+index.Manifests[0].Digest.Encoded()], &m))
		if said["containerimage.digest"] != index.Manifests[0].Digest.String() || len(m.Layers) != 2 {
			t.Errorf("%v %+v", said, m)
		}
		for _, l := range m.Layers {
			blob := found["blobs/sha256/"+l.Digest.Encoded()]
			if !strings.HasSuffix(l.MediaType, suffix) || digest.FromBytes(blob) != l.Digest || int64(len(blob)) != l.Size {
				t.Errorf("%s: %+v with %d bytes", kind, l, len(blob))
			}
		}
		if found["manifest.json"] != nil {
			t.Error("an OCI archive with Docker's manifest")
		}
	}
	found, _ := f.archive("docker", map[string]string{"name": "x:1,y"}, r)
	var list []struct{ RepoTags, Layers []string }
	f.must(json.Unmarshal(found["manifest.json"], &list))
	if len(list) != 1 || !slices.Equal(list[0].RepoTags, []string{"x:1", "y:latest"}) && !slices.Equal(list[0].RepoTags, []string{"docker.io/library/x:1", "docker.io/library/y:latest"}) || found[list[0].Layers[1]] == nil {
		t.Errorf("%s", found["manifest.json"])
	}
}

func TestPlatforms(t *testing.T) {
	f := newFixture(t)
	found, said := f.archive("oci", map[string]string{"name": "x"}, f.double())
	var outer, index ocispecs.Index
	f.must(json.Unmarshal(found["index.json"], &outer))
	f.must(json.Unmarshal(found["blobs/sha256/"+outer.Manifests[0].Digest.Encoded()], &index))
	if len(index.Manifests) != 2 || index.Manifests[1].Platform.Architecture != "arm64" || said["containerimage.config.digest"] != "" {
		t.Errorf("%+v %v", index, said)
	}
	if _, err := f.Export(t.Context(), Request{Type: "docker", Result: f.double()}); !errors.Is(err, errdefs.ErrInvalid) {
		t.Error(err)
	}
}

const parts = `{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","dataLicense":"CC0-1.0","name":"x","documentNamespace":"https://example.com/x",` +
	`"files":[{"SPDXID":"SPDXRef-File-same","fileName":"/same","checksums":[]}]}`

func sbom(f *fixture) *Result {
	r := f.double()
	for id := range r.Refs {
		r.AddAttestation(id, Attestation{Kind: gatewaypb.AttestationKind_InToto, Path: "sbom.spdx.json", Metadata: map[string][]byte{result.AttestationSBOMCore: []byte("sbom")},
			ContentFunc: func(context.Context) ([]byte, error) { return []byte(parts), nil },
			InToto:      result.InTotoAttestation{PredicateType: "https://spdx.dev/Document"}})
	}
	return r
}

func TestAttestations(t *testing.T) {
	f := newFixture(t)
	found, _ := f.archive("oci", map[string]string{"name": "x"}, sbom(f))
	var outer, index ocispecs.Index
	f.must(json.Unmarshal(found["index.json"], &outer))
	f.must(json.Unmarshal(found["blobs/sha256/"+outer.Manifests[0].Digest.Encoded()], &index))
	if len(index.Manifests) != 4 {
		t.Fatalf("%+v", index)
	}
	said := index.Manifests[2]
	if said.Annotations["vnd.docker.reference.digest"] != index.Manifests[0].Digest.String() || said.Platform.OS != "unknown" {
		t.Errorf("%+v", said)
	}
	var m ocispecs.Manifest
	f.must(json.Unmarshal(found["blobs/sha256/"+said.Digest.Encoded()], &m))
	if m.Subject.Digest != index.Manifests[0].Digest || len(m.Layers) != 1 || m.Layers[0].Annotations["in-toto.io/predicate-type"] != "https://spdx.dev/Document" {
		t.Errorf("%+v", m)
	}
	var statement struct {
		Subject   []struct{ Name string }
		Predicate struct {
			SpdxVersion string
			Files       []struct{ Comment string }
		}
	}
	var about ocispecs.Manifest
	f.must(json.Unmarshal(found["blobs/sha256/"+index.Manifests[0].Digest.Encoded()], &about))
	f.must(json.Unmarshal(found["blobs/sha256/"+m.Layers[0].Digest.Encoded()], &statement))
	if len(statement.Subject) != 1 || !strings.Contains(statement.Subject[0].Name, "pkg:docker/x") || statement.Predicate.SpdxVersion == "" ||
		len(statement.Predicate.Files) != 1 || statement.Predicate.Files[0].Comment != "layerID: "+about.Layers[0].Digest.String() {
		t.Errorf("%+v of %+v", statement, about)
	}
}

func TestLocal(t *testing.T) {
	f := newFixture(t)
	dir := filepath.Join(f.dir, "out")
	f.export(Request{Type: "local", Result: f.single("a", "b"), Dirs: map[int]string{0: dir}})
	f.export(Request{Type: "local", Result: f.double(), Dirs: map[int]string{0: dir}})
	for name, want := range map[string]string{"a": "content of a", "b": "content of b", "linux_arm64/arm64": "content of arm64", "linux_amd64/same": "content of same"} {
		if data, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(data) != want {
			t.Errorf("%s: %q %v", name, data, err)
		}
	}
}

func TestTar(t *testing.T) {
	f := newFixture(t)
	found, _ := f.archive("tar", nil, f.single("a", "b"))
	if len(found) != 2 || string(found["a"]) != "content of a" {
		t.Errorf("%v", found)
	}
	found, _ = f.archive("tar", nil, sbom(f))
	if string(found["linux_amd64/same"]) != "content of same" || !strings.Contains(string(found["linux_arm64/sbom.spdx.json"]), "spdx") {
		t.Errorf("%v", slices.Collect(maps.Keys(found)))
	}
}

func TestRefuses(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct {
		kind, key, value, word string
	}{
		{"image", "compression", "estargz", "estargz"}, {"oci", "compression", "lzma", "gzip, zstd"}, {"image", "push", "maybe", "true or false"},
		{"image", "push", "true", "--tag"}, {"oci", "source-date-epoch", "now", "seconds"}, {"floppy", "", "", "image, registry"},
		{"image", "oci-artifact", "x", "true or false"}, {"image", "annotation-nowhere.a", "b", "annotation"}, {"local", "mode", "x", "mode"},
	} {
		err := f.Check(Request{Type: c.kind, Attrs: map[string]string{c.key: c.value}})
		if err == nil || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if err := f.Check(Request{Type: "image", Attrs: map[string]string{"compression": "zstd", "oci-mediatypes": "false"}}); !errors.Is(err, errdefs.ErrInvalid) {
		t.Error(err)
	}
}

// Several platforms are a manifest list under the name, by which the image for this machine is found.
func TestPlatformsInStore(t *testing.T) {
	f := newFixture(t)
	out := f.export(Request{Type: "image", Attrs: map[string]string{"name": "multi"}, Result: f.double()})
	img := f.lookup("multi")
	if img.List == "" || img.Config.Architecture != runtime.GOARCH || img.Ref != "docker.io/library/multi:latest" || "sha256:"+img.List != out["containerimage.digest"] {
		t.Errorf("%+v %v", img, out)
	}
	images, err := store.Open(f.dirs).Images(t.Context())
	f.must(err)
	lists, listed := 0, 0
	for _, i := range images {
		if i.IsList {
			lists++
		}
		if i.Listed && !list.IsDangling(i) {
			listed++
		}
	}
	if len(images) != 3 || lists != 1 || listed != 2 {
		t.Errorf("%d images, %d lists, %d listed", len(images), lists, listed)
	}
	if problems, err := store.Open(f.dirs).Problems(t.Context()); err != nil || len(problems) != 0 {
		t.Errorf("%+v %v", problems, err)
	}
	_, l, err := manifests.LoadFromImage(f.images.Storage(), img.List)
	if err != nil || len(l.Instances()) != 2 {
		t.Errorf("containers/common cannot read it: %v", err)
	}
	f.must(f.images.Tag(t.Context(), "multi", []string{"other"}))
	f.must(f.images.Remove(t.Context(), "multi", option.Remove{}))
	if got := f.lookup("other"); got.List != img.List {
		t.Errorf("%+v", got)
	}
	pruned, err := f.images.Prune(t.Context(), option.Prune{})
	if err != nil || len(pruned.Images) != 0 {
		t.Errorf("pruned %+v %v", pruned, err)
	}
	f.must(f.images.Remove(t.Context(), "other", option.Remove{}))
	if images, err = store.Open(f.dirs).Images(t.Context()); err != nil || len(images) != 0 {
		t.Errorf("left: %+v %v", images, err)
	}
}

// What others have is what was pushed, byte by byte, and pulls back as the same image.
func TestPush(t *testing.T) {
	r := fake.Start(t, fake.Options{})
	f := newFixture(t)
	name := r.Host + "/app:1"
	out := f.export(Request{Type: "image", Attrs: map[string]string{"name": name, "push": "true"}, Result: f.single("a", "b")})
	local := f.lookup(name)
	f.must(f.images.Remove(t.Context(), name, option.Remove{}))
	ids, err := f.images.Pull(t.Context(), name, option.Pull{Quiet: true})
	f.must(err)
	pulled := f.lookup(name)
	if len(ids) != 1 || pulled.ID != local.ID || pulled.Digest != out["containerimage.digest"] || !slices.Equal(pulled.Layers, local.Layers) {
		t.Errorf("%v %+v, was %+v", out, pulled, local)
	}
	// Only pushed, as several platforms with attestations, and by digest.
	f.export(Request{Type: "registry", Attrs: map[string]string{"name": r.Host + "/multi"}, Result: sbom(f)})
	if ids, err = f.images.Pull(t.Context(), r.Host+"/multi", option.Pull{Quiet: true}); err != nil || len(ids) != 1 {
		t.Error(ids, err)
	}
	out = f.export(Request{Type: "image", Attrs: map[string]string{"name": r.Host + "/nameless", "push-by-digest": "true", "push": "true", "store": "false"}, Result: f.single("c")})
	if _, err = f.images.Pull(t.Context(), r.Host+"/nameless@"+out["containerimage.digest"], option.Pull{Quiet: true}); err != nil {
		t.Error(err)
	}
	if _, err = f.images.Pull(t.Context(), r.Host+"/nameless", option.Pull{Quiet: true}); err == nil {
		t.Error("pushed by a tag, too")
	}
	gone := f.Exporter
	r.Stop()
	if _, err := gone.Export(t.Context(), Request{Type: "registry", Attrs: map[string]string{"name": name}, Result: f.single("a")}); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("registry gone: %v", err)
	}
}
