package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/wherry-containers/wherry/buildah"
	"github.com/wherry-containers/wherry/buildah/option"
	"github.com/wherry-containers/wherry/cmd/wherry/build"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image"
	"github.com/wherry-containers/wherry/pkg/rootfs"
)

func verbs() *build.Verbs { return &build.Verbs{Build: buildImage, BuildKit: serve} }

// withBuilder runs do with the store open for building.
func withBuilder(ctx context.Context, env *cmdkit.Env, set func(*buildah.Config), do func(*buildah.Builder) error) error {
	found, err := rootfs.Detect(ctx, env.Dirs)
	if err != nil {
		return err
	}
	if found.Fresh && found.Note != "" {
		env.Warn(found.Note)
	}
	cfg := buildah.Config{
		Dirs: env.Dirs, Layers: found.Driver, Runtime: env.Runtime, Version: version, In: env.In, Out: env.OutFile, Err: env.Err,
		Getenv: env.Getenv, LookupEnv: os.LookupEnv, Warn: env.Warn,
	}
	if cmdkit.IsTerminal(env.ErrFile) {
		cfg.Err = env.ErrFile // a live display needs the file itself
	}
	if cfg.Driver, err = image.DriverFor(found.Driver); err != nil {
		return err
	}
	set(&cfg)
	b, err := buildah.Open(ctx, cfg)
	if err != nil {
		return err
	}
	return errors.Join(do(b), b.Close())
}

func buildImage(ctx context.Context, env *cmdkit.Env, opts option.Build) error {
	return withBuilder(ctx, env, func(c *buildah.Config) {
		c.Jobs, c.Steps, c.NeverPull, c.Registry = opts.Jobs, opts.Steps, opts.Pull == "never", opts.Registry
	}, func(b *buildah.Builder) error {
		return b.Build(ctx, opts)
	})
}

// serve is `wherry buildkit`.
func serve(ctx context.Context, env *cmdkit.Env, opts option.BuildKit) error {
	if len(opts.Addresses) == 0 {
		opts.Addresses = []string{"unix://" + filepath.Join(env.Dirs.Run, "buildkit.sock")}
	}
	return withBuilder(ctx, env, func(c *buildah.Config) { c.Jobs = opts.Jobs }, func(b *buildah.Builder) error {
		var listeners []net.Listener
		ctx, end := context.WithCancel(ctx)
		defer end()
		var watch *idleWatch
		if opts.Idle > 0 {
			watch = watchIdle(opts.Idle, end)
		}
		for _, address := range opts.Addresses {
			l, err := listen(address)
			if err != nil {
				return err
			}
			defer l.Close()
			if watch != nil {
				l = countedListener{l, watch}
			}
			listeners = append(listeners, l)
		}
		return b.Serve(ctx, listeners...)
	})
}

// listen listens on a socket that only the user may use.
func listen(address string) (net.Listener, error) {
	path, ok := strings.CutPrefix(address, "unix://")
	if !ok || !filepath.IsAbs(path) {
		return nil, errdefs.New(errdefs.ErrInvalid, "--addr %s: unix:///PATH is expected", address)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, errdefs.New(errdefs.ErrInUse, "--addr %s: somebody listens there already", address)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) { // left by a server that was killed
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(path, 0o600)
}
