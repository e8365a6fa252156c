package main

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/cmd/wherry/image"
	engine "github.com/wherry-containers/wherry/pkg/image"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/registry/access"
)

func manifestVerbs() *image.ManifestVerbs {
	return &image.ManifestVerbs{
		Create: func(ctx context.Context, env *cmdkit.Env, list string, images []string, opts option.ManifestCreate) error {
			return printID(ctx, env, func(s *engine.Session) (string, error) { return s.ManifestCreate(ctx, list, images, opts) })
		},
		Add: func(ctx context.Context, env *cmdkit.Env, list string, images []string, opts option.ManifestAdd) error {
			return printID(ctx, env, func(s *engine.Session) (string, error) {
				id, _, err := s.ManifestAdd(ctx, list, images, opts)
				return id, err
			})
		},
		Annotate: func(ctx context.Context, env *cmdkit.Env, list, name string, opts option.ManifestAnnotate) error {
			return printID(ctx, env, func(s *engine.Session) (string, error) { return s.ManifestAnnotate(ctx, list, name, opts) })
		},
		Take: func(ctx context.Context, env *cmdkit.Env, list, name string) error {
			return printID(ctx, env, func(s *engine.Session) (string, error) {
				id, _, err := s.ManifestTake(ctx, list, name)
				return id, err
			})
		},
		Remove: manifestRemove, Exists: manifestExists, Inspect: manifestInspect, Push: manifestPush,
	}
}

// printID prints the id of the list that do has worked on.
func printID(ctx context.Context, env *cmdkit.Env, do func(*engine.Session) (string, error)) error {
	return withSession(ctx, env, func(s *engine.Session) error {
		id, err := do(s)
		if err == nil {
			_, err = fmt.Fprintln(env.Out, id)
		}
		return err
	})
}

func manifestRemove(ctx context.Context, env *cmdkit.Env, lists []string, ignore bool) error {
	return withSession(ctx, env, func(s *engine.Session) error {
		removed, err := s.ManifestRemove(ctx, lists, ignore)
		for _, id := range removed {
			fmt.Fprintln(env.Out, id)
		}
		return err
	})
}

func manifestExists(ctx context.Context, env *cmdkit.Env, list string) error {
	return withSession(ctx, env, func(s *engine.Session) error {
		there, err := s.ManifestExists(list)
		if err == nil && !there {
			err = cmdkit.Exit(1)
		}
		return err
	})
}

func manifestInspect(ctx context.Context, env *cmdkit.Env, name string, opts access.Options) error {
	return withSession(ctx, env, func(s *engine.Session) error {
		text, err := s.ManifestInspect(ctx, name, opts)
		if err == nil {
			_, err = fmt.Fprintf(env.Out, "%s\n", text)
		}
		return err
	})
}

func manifestPush(ctx context.Context, env *cmdkit.Env, list, destination string, opts option.ManifestPush) error {
	return withSession(ctx, env, func(s *engine.Session) error {
		var pushed digest.Digest
		pushed, err := s.ManifestPush(ctx, list, destination, opts)
		if err == nil && !opts.Quiet {
			_, err = fmt.Fprintln(env.Out, pushed)
		}
		return err
	})
}
