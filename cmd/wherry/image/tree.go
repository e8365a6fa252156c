package image

import (
	"context"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/image/list"
	"github.com/wherry-containers/wherry/pkg/store"
)

// Tree is `wherry image tree`.
func Tree(env *cmdkit.Env) *cli.Command {
	var dependents bool
	return &cli.Command{
		Name: "tree", Usage: "Show how the layers of an image lie upon each other", ArgsUsage: "IMAGE",
		Flags:  []cli.Flag{cmdkit.Bool(&dependents, "whatrequires", "Show the layers of other images upon them, too")},
		Action: func(c *cli.Context) error { return showTree(c.Context, env, c.Args().First(), dependents) },
	}
}

func showTree(ctx context.Context, env *cmdkit.Env, name string, dependents bool) error {
	s := store.Open(env.Dirs)
	img, err := s.Lookup(ctx, name)
	if err != nil {
		return err
	}
	var all []store.Image
	if dependents {
		if all, err = s.Images(ctx); err != nil {
			return err
		}
	}
	_, err = io.WriteString(env.Out, list.Tree(img, all, dependents))
	return err
}
