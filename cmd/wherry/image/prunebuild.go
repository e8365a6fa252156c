package image

import (
	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

// PruneBuild is `wherry builder prune` and `wherry buildx prune`.
func PruneBuild(env *cmdkit.Env) *cli.Command {
	var opts option.PruneBuild
	raw := cmdkit.Bool(&opts.Raw, "raw", "Print for another program")
	raw.Hidden = true
	return &cli.Command{
		Name: "prune", Usage: "Remove what builds have left for the next ones",
		Description: "Layers that images have, too, and the cache of frontends stay unless --all is given. Of the sizes the largest that is kept counts: " +
			"nothing below --reserved-space goes.",
		Flags: []cli.Flag{
			cmdkit.Bool(&opts.All, "all a", "Also what images share and what the builder keeps for itself"),
			cmdkit.Bool(&opts.Force, "force f", "Do not ask"),
			cmdkit.Bool(&opts.Verbose, "verbose", "Show all that is known of what was removed"),
			cmdkit.Strings(&opts.Filters, "filter", "Only entries for which `KEY=VALUE` holds: until, id, parents, description, type, inuse, shared, private; also != and ~="),
			size(&opts.Reserved, "reserved-space keep-storage", "Keep so many `BYTES` (10GB) in any case, of what was used last"),
			size(&opts.MaxUsed, "max-used-space", "Keep at most so many `BYTES`"),
			size(&opts.MinFree, "min-free-space", "Free so many `BYTES` of the disk"), raw,
		},
		Action: action(env, func(c *cli.Context, v *Verbs) error { return v.PruneBuild(c.Context, env, opts) }),
	}
}

// size is a flag with a number of bytes, as 512MB.
func size(p *int64, names, usage string) *cmdkit.Flag {
	return cmdkit.Func(names, usage, func(text string) (err error) {
		*p, err = units.RAMInBytes(text)
		return err
	})
}
