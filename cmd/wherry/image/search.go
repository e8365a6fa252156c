package image

import (
	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

// Search is `wherry search`.
func Search(env *cmdkit.Env) *cli.Command {
	opts := option.Search{Limit: 25}
	var format string
	flags := []cli.Flag{
		cmdkit.Int(&opts.Limit, "limit", "Show at most `N` results of a registry"),
		cmdkit.Strings(&opts.Filters, "filter f", "Only results for which `KEY=VALUE` holds: stars, is-official, is-automated"),
		cmdkit.Bool(&opts.ListTags, "list-tags", "List the tags of the repository that is named"),
		cmdkit.Bool(&opts.NoTrunc, "no-trunc", "Show descriptions in full"),
		cmdkit.String(&format, "format", "Print as `table|json|TEMPLATE`"),
	}
	return &cli.Command{
		Name: "search", Usage: "Look for images in a registry", ArgsUsage: "[HOST/]TERM",
		Flags: append(flags, registryFlags(&opts.Options)...),
		Action: action(env, func(c *cli.Context, v *Verbs) error {
			return v.Search(c.Context, env, c.Args().First(), opts, format)
		}),
	}
}
