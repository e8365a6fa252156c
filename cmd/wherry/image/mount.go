package image

import (
	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/cmd/wherry/container"
	"github.com/wherry-containers/wherry/pkg/store"
)

// Mount is `wherry image mount`.
func Mount(env *cmdkit.Env) *cli.Command {
	var all bool
	var list container.MountList
	return &cli.Command{
		Name: "mount", Usage: "Mount images' files read-only, or list those mounted", ArgsUsage: "[IMAGE...]",
		Flags: append(list.Flags(), cmdkit.Bool(&all, "all a", "Mount all images")),
		Action: func(c *cli.Context) error {
			e, refs := container.Engine(env), c.Args().Slice()
			if len(refs) == 0 && !all {
				mounted, err := e.MountedImages(c.Context)
				if err != nil {
					return err
				}
				return list.Print(env, mounted)
			}
			if all {
				images, err := store.Open(env.Dirs).Images(c.Context)
				if err != nil {
					return err
				}
				for i := range images {
					refs = append(refs, images[i].ID)
				}
			}
			return container.MountEach(env, refs, all, func(ref string) (string, error) { return e.MountImage(c.Context, ref) })
		},
	}
}

// Unmount is `wherry image unmount`.
func Unmount(env *cmdkit.Env) *cli.Command {
	var all, force bool
	return &cli.Command{
		Name: "unmount", Usage: "Unmount images that image mount mounted", ArgsUsage: "[IMAGE...]",
		Flags: []cli.Flag{
			cmdkit.Bool(&all, "all a", "Unmount all that are mounted"),
			cmdkit.Bool(&force, "force f", "An image that is not mounted is no error"),
		},
		Action: func(c *cli.Context) error {
			e, refs := container.Engine(env), c.Args().Slice()
			if all {
				mounted, err := e.MountedImages(c.Context)
				if err != nil {
					return err
				}
				for _, m := range mounted {
					refs = append(refs, m.ID)
				}
			}
			if len(refs) == 0 && !all {
				return cmdkit.Usagef("which image? Name one, or use --all")
			}
			return container.UnmountEach(env, refs, force, func(ref string) error { return e.UnmountImage(c.Context, ref) })
		},
	}
}
