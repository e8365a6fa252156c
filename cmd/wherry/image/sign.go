package image

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/trust"
)

// SignVerbs is what the companion does about signatures.
type SignVerbs struct {
	Sign func(ctx context.Context, env *cmdkit.Env, images []string, opts option.Sign) error
	Show func(ctx context.Context, env *cmdkit.Env, scope string, opts TrustShow) error
	Set  func(ctx context.Context, env *cmdkit.Env, scope string, opts TrustSet) error
}

// TrustShow is the options of image trust show.
type TrustShow struct {
	Policy    string // file; empty: the one in force
	Raw       bool
	JSON      bool
	NoHeading bool
}

// TrustSet is the options of image trust set.
type TrustSet struct {
	Policy string // file; empty: the user's own, root's the machine's
	Type   string
	Keys   []string
}

// Sign is `wherry image sign`.
func Sign(env *cmdkit.Env) *cli.Command {
	var opts option.Sign
	return &cli.Command{
		Name: "sign", Usage: "Sign images that are in a registry, with an OpenPGP key", ArgsUsage: "IMAGE...",
		Flags: []cli.Flag{
			cmdkit.String(&opts.By, "sign-by", "Sign with `KEY`, by fingerprint or name (gpg does it)"),
			cmdkit.String(&opts.Directory, "directory d", "Write the signatures to `DIR`"),
			cmdkit.Bool(&opts.All, "all a", "Of a list sign every image, not only this machine's"),
			cmdkit.String(&opts.AuthFile, "authfile", "`FILE` with the log-ins of registries"),
			cmdkit.String(&opts.CertDir, "cert-dir", "`DIR` with the CA and certificates for the registry"),
		},
		Action: action(env, func(c *cli.Context, v *Verbs) error {
			if opts.By == "" {
				return cmdkit.Usagef("sign with which key? Name it with --sign-by (gpg --list-secret-keys shows yours)")
			}
			return v.Sign.Sign(c.Context, env, c.Args().Slice(), opts)
		}),
	}
}

// Trust are the commands of `wherry image trust`.
func Trust(place cmdkit.Place) []cmdkit.Entry {
	return []cmdkit.Entry{{Names: "show", New: trustShow, Place: place}, {Names: "set", New: trustSet, Place: place}}
}

func trustShow(env *cmdkit.Env) *cli.Command {
	var opts TrustShow
	return &cli.Command{
		Name: "show", Usage: "Show whose images are accepted", ArgsUsage: "[REGISTRY]",
		Flags: []cli.Flag{
			cmdkit.Bool(&opts.Raw, "raw", "Print the policy file as it is"),
			cmdkit.Bool(&opts.JSON, "json j", "Print as JSON"),
			cmdkit.Bool(&opts.NoHeading, "noheading n", "Print no heading"),
			cmdkit.String(&opts.Policy, "signature-policy", "The policy is in `FILE`"),
		},
		Action: action(env, func(c *cli.Context, v *Verbs) error { return v.Sign.Show(c.Context, env, c.Args().First(), opts) }),
	}
}

func trustSet(env *cmdkit.Env) *cli.Command {
	opts := TrustSet{Type: "signedBy"}
	kind := oneOf(&opts.Type, "type t", "Images must be: `accept|reject|signedBy|sigstoreSigned`", trust.Kinds()...)
	kind.Default = opts.Type
	return &cli.Command{
		Name: "set", Usage: "Say whose images are accepted, of a registry or repository, or by default", ArgsUsage: "REGISTRY|default",
		Flags: []cli.Flag{
			kind,
			cmdkit.Strings(&opts.Keys, "pubkeysfile f", "`FILE` with public keys, of which one must have signed"),
			cmdkit.String(&opts.Policy, "signature-policy policypath", "The policy is in `FILE`"),
		},
		Action: action(env, func(c *cli.Context, v *Verbs) error { return v.Sign.Set(c.Context, env, c.Args().First(), opts) }),
	}
}
