package export

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/containers/storage/pkg/reexec"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/session"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"

	"github.com/wherry-containers/wherry/buildah/layers"
	"github.com/wherry-containers/wherry/buildah/tree"
	"github.com/wherry-containers/wherry/pkg/image"
	"github.com/wherry-containers/wherry/pkg/layout"
	"github.com/wherry-containers/wherry/pkg/store"
)

// TestMain goes into a user namespace and a mount namespace of its own, as a build does.
func TestMain(m *testing.M) {
	if reexec.Init() {
		return
	}
	if os.Getenv("_EXPORT_TEST_INSIDE") == "" {
		how := "-rm"
		if os.Geteuid() == 0 {
			how = "-m"
		}
		unshare, err := exec.LookPath("unshare")
		if err == nil && exec.Command(unshare, how, "true").Run() == nil {
			self, _ := os.Executable()
			env := append(os.Environ(), "_EXPORT_TEST_INSIDE=1", "_CONTAINERS_USERNS_CONFIGURED=done",
				"_CONTAINERS_ROOTLESS_UID="+fmt.Sprint(os.Getuid()), "_CONTAINERS_ROOTLESS_GID="+fmt.Sprint(os.Getgid()))
			err = syscall.Exec(unshare, append([]string{"unshare", how, self}, os.Args[1:]...), env)
		}
		fmt.Println("no namespaces to test in:", err)
		return
	}
	logrus.SetLevel(logrus.FatalLevel)
	os.Exit(m.Run())
}

// fixture is a store of its own with an exporter.
type fixture struct {
	*Exporter
	t      *testing.T
	dir    string
	dirs   layout.Dirs
	images *image.Session
	layers *layers.Store
	steps  []string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_RUNTIME_DIR", dir)
	t.Setenv("CONTAINERS_REGISTRIES_CONF", filepath.Join(dir, "registries.conf"))
	if err := os.WriteFile(filepath.Join(dir, "registries.conf"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, dir: dir, dirs: layout.Dirs{Data: filepath.Join(dir, "data"), Run: filepath.Join(dir, "run")}}
	var err error
	f.images, err = image.Open(image.Config{Dirs: f.dirs, Out: io.Discard, Err: io.Discard, Getenv: os.Getenv})
	if err != nil {
		t.Skip("no store here:", err)
	}
	f.layers, err = layers.Open(t.Context(), layers.Options{Dirs: f.dirs, Storage: f.images.Storage(), Driver: "overlay"})
	f.must(err)
	sessions, err := session.NewManager()
	f.must(err)
	f.Exporter = New(Options{Dirs: f.dirs, Images: f.images, Layers: f.layers, Sessions: sessions})
	t.Cleanup(func() {
		f.must(f.layers.Close())
		f.images.Storage().Shutdown(true)
		f.images.Close()
	})
	return f
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// Step notes the step.
func (f *fixture) Step(_ context.Context, name string) func(error) error {
	f.steps = append(f.steps, name)
	return func(err error) error { return err }
}

var longAgo = time.Unix(1000000000, 0).UTC()

// tree makes a stack with one layer for each file.
func (f *fixture) tree(names ...string) *tree.Tree {
	f.t.Helper()
	t := &tree.Tree{}
	for _, name := range names {
		d, err := f.layers.Begin(f.t.Context(), t.Layers)
		f.must(err)
		path := filepath.Join(d.Root(), name)
		f.must(os.WriteFile(path, []byte("content of "+name), 0o644))
		t.Layers, err = d.Commit(f.t.Context(), layers.Info{})
		f.must(err)
	}
	return t
}

// config is an image's configuration as the frontend makes it.
func config(arch string, steps int) []byte {
	img := ocispecs.Image{Platform: ocispecs.Platform{Architecture: arch, OS: "linux"}}
	img.RootFS.Type = "layers"
	img.Config.Cmd = []string{"/bin/sh"}
	for i := range steps {
		img.History = append(img.History, ocispecs.History{CreatedBy: fmt.Sprint("step ", i), Comment: "buildkit.dockerfile.v0"})
	}
	img.History = append(img.History, ocispecs.History{CreatedBy: "CMD /bin/sh", EmptyLayer: true, Comment: "buildkit.dockerfile.v0"})
	data, _ := json.Marshal(img)
	return data
}

// single is the result of a build for one platform.
func (f *fixture) single(names ...string) *Result {
	return &Result{Ref: f.tree(names...), Metadata: map[string][]byte{exptypes.ExporterImageConfigKey: config("amd64", len(names))}}
}

// double is the result of a build for two platforms.
func (f *fixture) double() *Result {
	r := &Result{Metadata: map[string][]byte{}}
	var ps exptypes.Platforms
	for _, arch := range []string{"amd64", "arm64"} {
		id := "linux/" + arch
		r.AddRef(id, f.tree("same", arch))
		ps.Platforms = append(ps.Platforms, exptypes.Platform{ID: id, Platform: ocispecs.Platform{OS: "linux", Architecture: arch}})
		r.Metadata[exptypes.ExporterImageConfigKey+"/"+id] = config(arch, 2)
	}
	data, err := json.Marshal(ps)
	f.must(err)
	r.Metadata[exptypes.ExporterPlatformsKey] = data
	return r
}

func (f *fixture) export(r Request) map[string]string {
	f.t.Helper()
	if r.Progress == nil {
		r.Progress = f
	}
	out, err := f.Export(f.t.Context(), r)
	f.must(err)
	return out
}

func (f *fixture) lookup(name string) *store.Image {
	f.t.Helper()
	img, err := store.Open(f.dirs).Lookup(f.t.Context(), name)
	f.must(err)
	return img
}
