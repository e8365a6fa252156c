package image

import (
	"errors"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

// encryptLayers is --encrypt-layer, which is given once a layer.
func encryptLayers(p *[]int) cli.Flag {
	return cmdkit.Func("encrypt-layer", "Encrypt layer `INDEX` (0 is the lowest, -1 the top) and not all", func(text string) error {
		n, err := strconv.Atoi(text)
		if err != nil {
			return errors.New("want a number")
		}
		*p = append(*p, n)
		return nil
	})
}

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
		cmdkit.Strings(&opts.EncryptionKeys, "encryption-key", "Encrypt layers for `jwe:FILE|pkcs7:FILE|pgp:NAME`"),
		encryptLayers(&opts.EncryptLayers),
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
