// Package buildah builds images from Dockerfiles: BuildKit's client and frontend around a solver of our own that keeps
// its layers where images have theirs.
package buildah

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/session"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"

	"github.com/wherry-containers/wherry/buildah/cache"
	"github.com/wherry-containers/wherry/buildah/control"
	"github.com/wherry-containers/wherry/buildah/export"
	"github.com/wherry-containers/wherry/buildah/layers"
	"github.com/wherry-containers/wherry/buildah/option"
	"github.com/wherry-containers/wherry/buildah/remotecache"
	"github.com/wherry-containers/wherry/buildah/request"
	"github.com/wherry-containers/wherry/buildah/run"
	"github.com/wherry-containers/wherry/buildah/solver"
	"github.com/wherry-containers/wherry/pkg/binfmt"
	"github.com/wherry-containers/wherry/pkg/image"
	"github.com/wherry-containers/wherry/pkg/layout"
)

// Config is what a Builder needs from its surroundings.
type Config struct {
	Dirs      layout.Dirs
	Driver    image.Driver
	Layers    string // driver of the layers, as rootfs.Detect says; empty: it is asked
	Runtime   string // OCI runtime of the steps; empty: the best
	Jobs      int    // steps at a time; 0: the number of processors
	Steps     option.Steps
	NeverPull bool // base images have to be in the store
	Registry  option.Registry
	Version   string

	In        io.Reader
	Out       *os.File
	Err       io.Writer
	Getenv    func(string) string
	LookupEnv func(string) (string, bool)
	Warn      func(string)
}

// Builder builds, several times and side by side if asked to. It belongs to one process, which has a mount namespace of
// its own. Close it.
type Builder struct {
	cfg    Config
	images *image.Session
	worker *solver.Worker
	server *control.Server
	locals locals
}

// Open opens the store for building.
func Open(ctx context.Context, cfg Config) (_ *Builder, err error) {
	b := &Builder{cfg: cfg}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	images := image.Config{Dirs: cfg.Dirs, Driver: cfg.Driver, In: cfg.In, Out: io.Discard, Err: io.Discard, Getenv: cfg.Getenv}
	if b.images, err = image.Open(images); err != nil {
		return nil, err
	}
	jobs := cfg.Jobs
	if jobs <= 0 {
		jobs = runtime.NumCPU()
	}
	sessions, err := session.NewManager()
	if err != nil {
		return nil, err
	}
	b.worker = &solver.Worker{
		Dirs: cfg.Dirs, Sessions: sessions, Slots: semaphore.NewWeighted(int64(jobs)), Cache: cache.Open(cfg.Dirs),
		Runner: run.New(run.Options{Dirs: cfg.Dirs, Runtime: cfg.Runtime, Warn: cfg.Warn, Getenv: cfg.Getenv}),
		Local:  b.locals.find, Getenv: cfg.Getenv,
		Image: images, Own: b.locals.has, Networks: request.Networks(cfg.Steps), NeverPull: cfg.NeverPull,
		Access: cfg.Registry.Options, Retry: cfg.Registry.Retry,
		DNS: run.DNS{Servers: cfg.Steps.DNS, Search: cfg.Steps.DNSSearch, Options: cfg.Steps.DNSOptions},
	}
	if b.worker.Layers, err = layers.Open(ctx, layers.Options{Dirs: cfg.Dirs, Storage: b.images.Storage(), Driver: cfg.Layers}); err != nil {
		return nil, err
	}
	out := &outputs{locals: &b.locals, registry: cfg.Registry, layers: b.worker.Layers, layered: b.worker.Layered, exporter: export.New(export.Options{
		Dirs: cfg.Dirs, Images: b.images, Layers: b.worker.Layers, Sessions: sessions, Layered: b.worker.Layered,
	})}
	b.server = control.New(control.Options{
		Worker: b.worker, Platforms: hostPlatforms(), Version: cfg.Version, Exporter: out, Cache: stored{cfg.Dirs, b.images},
		Remote: remotecache.New(remotecache.Options{Exporter: out.exporter, Layers: b.worker.Layers, Images: b.images, Config: images, Sessions: sessions,
			Retry: cfg.Registry.Retry}),
	})
	return b, nil
}

// Close gives everything back. It may be called twice.
func (b *Builder) Close() error {
	var faults []error
	if b.worker != nil {
		if b.worker.Layers != nil {
			faults = append(faults, b.worker.Layers.Close())
		}
		faults = append(faults, b.worker.Cache.Close())
	}
	if b.images != nil {
		faults = append(faults, b.images.Close())
	}
	return errors.Join(faults...)
}

// Server is BuildKit's Control service of this builder.
func (b *Builder) Server() *control.Server { return b.server }

// emulated are the platforms that may be had by emulation.
var emulated = []ocispecs.Platform{
	{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}, {OS: "linux", Architecture: "arm", Variant: "v7"},
	{OS: "linux", Architecture: "arm", Variant: "v6"}, {OS: "linux", Architecture: "386"}, {OS: "linux", Architecture: "riscv64"},
	{OS: "linux", Architecture: "ppc64le"}, {OS: "linux", Architecture: "s390x"},
}

// hostPlatforms are those that steps can run for: this machine's, then the emulated ones.
func hostPlatforms() []ocispecs.Platform {
	list := []ocispecs.Platform{platforms.Normalize(platforms.DefaultSpec())}
	for _, p := range emulated {
		if p.Architecture != list[0].Architecture && binfmt.Check(p.Architecture) == nil {
			list = append(list, p)
		}
	}
	return list
}
