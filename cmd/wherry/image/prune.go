package image

import (
	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

// Prune is `wherry image prune`.
func Prune(env *cmdkit.Env) *cli.Command {
	var opts option.Prune
	raw := cmdkit.Bool(&opts.Raw, "raw", "Print for another program")
	layers := cmdkit.Bool(&opts.Layers, "layers", "Only layers that belong to no image")
	raw.Hidden, layers.Hidden = true, true
	return &cli.Command{
		Name: "prune", Usage: "Remove images without a name that no container stands on",
		Flags: []cli.Flag{
			cmdkit.Bool(&opts.All, "all a", "Remove also named images that no container stands on"),
			cmdkit.Bool(&opts.Force, "force f", "Do not ask"),
			cmdkit.Strings(&opts.Filters, "filter", "Only images for which `KEY=VALUE` holds: until, label, label!, dangling"),
			raw, layers,
		},
		Action: action(env, func(c *cli.Context, v *Verbs) error { return v.Prune(c.Context, env, opts) }),
	}
}
