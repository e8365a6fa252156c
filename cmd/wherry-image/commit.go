package main

import (
	"context"
	"fmt"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/cmd/wherry/container"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	engine "github.com/wherry-containers/wherry/pkg/image"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

// commit makes an image of a container.
func commit(ctx context.Context, env *cmdkit.Env, ref, name string, opts option.Commit) error {
	if err := engine.CheckCommit(name, opts); err != nil {
		return err
	}
	e := container.Engine(env)
	if _, err := e.ResolveIDs(ctx, ref); err != nil {
		return err
	}
	return withSession(ctx, env, func(s *engine.Session) error {
		var id string
		snapshot := libpod.SnapshotOptions{Running: !opts.Pause, Squash: opts.Squash, Volumes: opts.IncludeVolumes}
		err := e.Snapshot(ctx, ref, snapshot, func(from *libpod.Snapshot) (err error) {
			if !opts.Quiet && cmdkit.IsTerminal(env.ErrFile) {
				fmt.Fprintf(env.Err, "Copying the files of %s\n", ref)
			}
			layer := engine.NewLayer{Config: from.Config(), Parent: from.Image.TopLayer(), Command: from.Command(), Write: from.WriteLayer, Empty: from.Empty()}
			if opts.Squash {
				layer.Parent = ""
			}
			id, err = s.Commit(ctx, layer, name, opts)
			return err
		})
		if err != nil {
			return err
		}
		if opts.IIDFile != "" {
			if err := atomicfile.Write(opts.IIDFile, []byte("sha256:"+id), 0o644, atomicfile.Volatile); err != nil {
				return errdefs.New(errdefs.ErrInvalid, "--iidfile: %v (the image was made: %s)", err, id)
			}
		}
		_, err = fmt.Fprintln(env.Out, "sha256:"+id)
		return err
	})
}
