// Package image holds the commands about images. Those that only read the store are done here; the others are done
// by the companion wherry-image, which has the same table of flags and brings the libraries (Verbs).
package image

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/registry/access"
)

// Verbs is what the companion does. The front has none: it executes the companion before an Action is called.
type Verbs struct {
	Pull   func(ctx context.Context, env *cmdkit.Env, names []string, opts option.Pull) error
	Push   func(ctx context.Context, env *cmdkit.Env, name, destination string, opts option.Push) error
	Load   func(ctx context.Context, env *cmdkit.Env, opts option.Load) error
	Save   func(ctx context.Context, env *cmdkit.Env, names []string, opts option.Save) error
	Import func(ctx context.Context, env *cmdkit.Env, source, name string, opts option.Import) error
	Remove func(ctx context.Context, env *cmdkit.Env, names []string, opts option.Remove) error
	Tag    func(ctx context.Context, env *cmdkit.Env, name string, names []string) error
	Untag  func(ctx context.Context, env *cmdkit.Env, name string, names []string) error
	Prune  func(ctx context.Context, env *cmdkit.Env, opts option.Prune) error
	// PruneBuild prunes the build cache.
	PruneBuild func(ctx context.Context, env *cmdkit.Env, opts option.PruneBuild) error

	Manifest   *ManifestVerbs
	Imagetools *ImagetoolsVerbs
	Sign       *SignVerbs
	SCP        func(ctx context.Context, env *cmdkit.Env, source, destination string, opts CopyOver) error

	Search func(ctx context.Context, env *cmdkit.Env, term string, opts option.Search, format string) error
	Login  func(ctx context.Context, env *cmdkit.Env, registry string, opts option.Login) error
	Commit func(ctx context.Context, env *cmdkit.Env, container, name string, opts option.Commit) error
	Logout func(ctx context.Context, env *cmdkit.Env, registry string, opts option.Login) error
}

type verbsKey struct{}

// WithVerbs makes the commands under ctx do their work with v.
func WithVerbs(ctx context.Context, v *Verbs) context.Context {
	return context.WithValue(ctx, verbsKey{}, v)
}

// action is a command that the companion does.
func action(env *cmdkit.Env, do func(c *cli.Context, v *Verbs) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		v, ok := c.Context.Value(verbsKey{}).(*Verbs)
		if !ok {
			return errdefs.New(errdefs.ErrUnsupported, "%s %s needs its companion %s", env.Program, c.Command.Name, env.Dirs.Image())
		}
		return do(c, v)
	}
}

// registryFlags are the flags of every command that talks to a registry.
func registryFlags(o *access.Options) []cli.Flag {
	return []cli.Flag{
		cmdkit.String(&o.AuthFile, "authfile", "`FILE` with the log-ins of registries"),
		cmdkit.String(&o.CertDir, "cert-dir", "`DIR` with the CA and certificates for the registry"),
		optBool(&o.TLSVerify, "tls-verify", "Insist on HTTPS with a trusted certificate"),
	}
}

// transferFlags are those of pull and push.
func transferFlags(o *access.Options, r *option.Retry) []cli.Flag {
	return append(registryFlags(o),
		cmdkit.String(&o.Creds, "creds", "`USER:PASSWORD` for the registry"),
		cmdkit.Int(&r.Max, "retry", "Try again so many times after a fault of the network"),
		cmdkit.Duration(&r.Delay, "retry-delay", "Wait so long before the first new try, doubled for each further one"),
	)
}

// optBool is a switch that stays nil when it is not given.
func optBool(p **bool, names, usage string) *cmdkit.Flag {
	var b bool
	f := cmdkit.Bool(&b, names, usage)
	set := f.Set
	f.Set = func(text string) error {
		if err := set(text); err != nil {
			return err
		}
		v := b
		*p = &v
		return nil
	}
	return f
}

// platformFlags choose one image of an index.
func platformFlags(p *option.Platform) []cli.Flag {
	return []cli.Flag{
		cmdkit.Func("platform", "Take the image for `OS/ARCH[/VARIANT]`", func(text string) (err error) {
			*p, err = option.ParsePlatform(text)
			return err
		}),
		cmdkit.String(&p.Arch, "arch", "Take the image for `ARCH`"),
		cmdkit.String(&p.OS, "os", "Take the image for `OS`"),
		cmdkit.String(&p.Variant, "variant", "Take the image for `VARIANT` of the architecture"),
	}
}

// defaultRetry is Podman's.
func defaultRetry() option.Retry { return option.Retry{Max: 3} }

// oneOf refuses a value that is not in the list.
func oneOf(p *string, names, usage string, values ...string) *cmdkit.Flag {
	return cmdkit.Func(names, usage, func(text string) error {
		for _, v := range values {
			if v == text {
				*p = text
				return nil
			}
		}
		return fmt.Errorf("want %s", strings.Join(values, ", "))
	})
}

func second(c *cli.Context) string { return c.Args().Get(1) }
