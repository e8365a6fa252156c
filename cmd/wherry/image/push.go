package image

import (
	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

// Push is `wherry push`.
func Push(env *cmdkit.Env) *cli.Command {
	opts := option.Push{Retry: defaultRetry()}
	flags := []cli.Flag{
		cmdkit.Bool(&opts.AllTags, "all-tags a", "Push every tag of the repository"),
		cmdkit.Bool(&opts.Quiet, "quiet q", "Print nothing"),
		cmdkit.String(&opts.DigestFile, "digestfile", "Write the digest of the pushed image to `FILE`"),
		cmdkit.String(&opts.Format, "format f", "Kind of manifest: `oci|v2s2`"),
		cmdkit.String(&opts.CompressionFormat, "compression-format", "Compress layers with `gzip|zstd|zstd:chunked`"),
		cmdkit.OptInt(&opts.CompressionLevel, "compression-level", "Compress with `LEVEL`"),
		cmdkit.Bool(&opts.ForceCompression, "force-compression", "Compress anew what the registry has in another compression"),
		cmdkit.Bool(&opts.RemoveSignatures, "remove-signatures", "Leave signatures out"),
	}
	return &cli.Command{
		Name: "push", Usage: "Send an image to a registry", ArgsUsage: "IMAGE [DESTINATION]",
		Flags: append(flags, transferFlags(&opts.Options, &opts.Retry)...),
		Action: action(env, func(c *cli.Context, v *Verbs) error {
			return v.Push(c.Context, env, c.Args().First(), second(c), opts)
		}),
	}
}
