package container

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/values"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image/list"
	"github.com/wherry-containers/wherry/pkg/store"
)

type inspectOptions struct {
	format string
	latest bool
	size   bool
	kind   string
}

// Inspect is `wherry inspect`, which looks for containers, then images, then volumes.
func Inspect(env *cmdkit.Env) *cli.Command {
	var opts inspectOptions
	cmd := inspectCommand(env, &opts)
	cmd.Flags = append(cmd.Flags, cmdkit.Func("type t", "Look only for a `container|image|volume|all`", func(s string) error {
		opts.kind = s
		switch s {
		case "network", "pod":
			return fmt.Errorf("%ss are not there yet", s)
		}
		return values.OneOf(s, "container", "image", "volume", "all")
	}))
	return cmd
}

// InspectContainer is `wherry container inspect`.
func InspectContainer(env *cmdkit.Env) *cli.Command {
	cmd := inspectCommand(env, &inspectOptions{kind: "container"})
	cmd.Usage, cmd.ArgsUsage = "Show everything about containers", "[CONTAINER...]"
	return cmd
}

func inspectCommand(env *cmdkit.Env, opts *inspectOptions) *cli.Command {
	return &cli.Command{
		Name: "inspect", Usage: "Show everything about containers, images and volumes", ArgsUsage: "[OBJECT...]",
		Flags: []cli.Flag{
			cmdkit.String(&opts.format, "format f", "Print as `json|TEMPLATE`"),
			cmdkit.Bool(&opts.latest, "latest l", "The newest container"),
			cmdkit.Bool(&opts.size, "size s", "With the sizes of containers"),
		},
		Action: func(c *cli.Context) error { return inspect(c.Context, env, *opts, c.Args().Slice()) },
	}
}

// inspect prints what it finds, and then says what it did not find.
func inspect(ctx context.Context, env *cmdkit.Env, opts inspectOptions, refs []string) error {
	e := engine(env)
	if opts.latest || len(refs) == 0 {
		ref, _, err := one(ctx, e, opts.latest, refs)
		if err != nil {
			return err
		}
		refs = []string{ref}
	}
	return cmdkit.Inspect(env, refs, opts.format, func(ref string) (any, error) { return find(ctx, env, e, opts, ref) })
}

// find looks for what ref names, of the kinds that were asked for, in the order container, image, volume.
func find(ctx context.Context, env *cmdkit.Env, e *libpod.Engine, opts inspectOptions, ref string) (any, error) {
	kinds := []struct {
		name string
		get  func() (any, error)
	}{
		{"container", func() (any, error) { return inspectOne(ctx, e, ref, opts.size) }},
		{"image", func() (any, error) {
			img, err := store.Open(env.Dirs).Lookup(ctx, ref)
			if err != nil {
				return nil, err
			}
			return list.Inspect(img), nil
		}},
		{"volume", func() (any, error) { return e.VolumeInspect(ctx, ref) }},
	}
	all := opts.kind == "" || opts.kind == "all"
	suggestion := ""
	for _, kind := range kinds {
		if !all && kind.name != opts.kind {
			continue
		}
		doc, err := kind.get()
		if err == nil {
			return doc, nil
		}
		if !all || !notThere(err) {
			return nil, err
		}
		if _, near, ok := strings.Cut(err.Error(), "(did you mean "); ok && suggestion == "" {
			suggestion, _, _ = strings.Cut(" (did you mean "+near, ")")
			suggestion += ")"
		}
	}
	return nil, errdefs.New(errdefs.ErrNotFound, "no container, image or volume %q%s", ref, suggestion)
}

func inspectOne(ctx context.Context, e *libpod.Engine, ref string, size bool) (any, error) {
	doc, err := e.Inspect(ctx, ref)
	if err == nil && size {
		e.InspectSize(ctx, doc)
	}
	return doc, err
}

func notThere(err error) bool {
	return errors.Is(err, errdefs.ErrNotFound) || errors.Is(err, errdefs.ErrInvalid)
}
