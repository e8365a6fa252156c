package image

import (
	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

// Pull is `wherry pull`.
func Pull(env *cmdkit.Env) *cli.Command {
	opts := option.Pull{Retry: defaultRetry()}
	flags := []cli.Flag{
		oneOf(&opts.Policy, "policy", "When to ask the registry: `always|missing|never|newer`", option.PullAlways, option.PullMissing, option.PullNever, option.PullNewer),
		cmdkit.Bool(&opts.AllTags, "all-tags a", "Pull every tag of the repository"),
		cmdkit.Bool(&opts.Quiet, "quiet q", "Print only the image's id"),
		cmdkit.Strings(&opts.DecryptionKeys, "decryption-key", "Decrypt layers with the private key in `FILE[:PASSPHRASE]`"),
	}
	flags = append(flags, platformFlags(&opts.Platform)...)
	return &cli.Command{
		Name: "pull", Usage: "Get an image from a registry", ArgsUsage: "IMAGE...",
		Flags: append(flags, transferFlags(&opts.Options, &opts.Retry)...),
		Action: action(env, func(c *cli.Context, v *Verbs) error {
			return v.Pull(c.Context, env, c.Args().Slice(), opts)
		}),
	}
}
