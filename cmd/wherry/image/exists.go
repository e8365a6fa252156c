package image

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/store"
)

// Exists is `wherry image exists`.
func Exists(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "exists", Usage: "Say by the exit status whether an image is here: 0 or 1", ArgsUsage: "IMAGE",
		Action: func(c *cli.Context) error { return imageExists(c.Context, env, c.Args().First()) },
	}
}

func imageExists(ctx context.Context, env *cmdkit.Env, name string) error {
	_, err := store.Open(env.Dirs).Lookup(ctx, name)
	if errors.Is(err, errdefs.ErrNotFound) {
		return cmdkit.Exit(1)
	}
	return err
}
