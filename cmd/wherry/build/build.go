// Package build holds the commands that build images: their flags. What they do is in the companion wherry-build, which
// has the same table and brings BuildKit (Verbs).
package build

import (
	"context"
	"runtime"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/buildah/option"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Verbs is what the companion does. The front has none: it executes the companion before an Action is called.
type Verbs struct {
	Build    func(ctx context.Context, env *cmdkit.Env, opts option.Build) error
	BuildKit func(ctx context.Context, env *cmdkit.Env, opts option.BuildKit) error
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
			return errdefs.New(errdefs.ErrUnsupported, "%s %s needs its companion %s", env.Program, c.Command.Name, env.Dirs.Build())
		}
		return do(c, v)
	}
}

// Build is `wherry build`.
func Build(env *cmdkit.Env) *cli.Command {
	b := builder{opts: option.Build{Contexts: map[string]string{}, Steps: option.Steps{Resources: map[string]string{}}}}
	if p := env.Getenv("DOCKER_DEFAULT_PLATFORM"); p != "" {
		b.opts.Platforms = []string{p}
	}
	b.opts.Display.Progress = env.Getenv("BUILDKIT_PROGRESS")
	flags := append(b.inputFlags(), b.stepFlags()...)
	flags = append(append(flags, b.resultFlags()...), b.displayFlags()...)
	flags = append(flags, b.registryFlags()...)
	return &cli.Command{
		Name: "build", Usage: "Build an image from a Dockerfile", ArgsUsage: "[CONTEXT]",
		Description: "CONTEXT is a directory (the current one if there is none), the URL of a git repository, of a tar archive or of a Dockerfile, or - " +
			"for a tar archive or a Dockerfile on standard input. The Dockerfile is Containerfile or Dockerfile in it, or what --file names.",
		Flags: append(flags, refused()...),
		Action: action(env, func(c *cli.Context, v *Verbs) error {
			b.opts.Context = c.Args().First()
			if err := b.complete(); err != nil {
				return err
			}
			if err := b.withBuilder(env.Getenv); err != nil {
				return err
			}
			return v.Build(c.Context, env, b.opts)
		}),
	}
}

// builder binds the flags of build.
type builder struct {
	opts     option.Build
	check    bool
	named    string // builder
	platform struct{ os, arch, variant string }
	sbom     string
	prov     string
}

// complete puts together what several flags say.
func (b *builder) complete() error {
	o := &b.opts
	if b.check {
		if o.Call != "" && o.Call != "check" {
			return cmdkit.Usagef("--check and --call %s exclude each other", o.Call)
		}
		o.Call = "check"
	}
	for kind, text := range map[string]string{"provenance": b.prov, "sbom": b.sbom} {
		if text != "" {
			o.Result.Attests = append(o.Result.Attests, attest(kind, text))
		}
	}
	if p := b.platform; p.os != "" || p.arch != "" || p.variant != "" {
		if len(o.Platforms) > 0 {
			return cmdkit.Usagef("--platform excludes --os, --arch and --variant")
		}
		text := orElse(p.os, "linux") + "/" + orElse(p.arch, runtime.GOARCH)
		if p.variant != "" {
			text += "/" + p.variant
		}
		o.Platforms = []string{text}
	}
	if o.Display.Quiet {
		o.Display.Progress = "quiet"
	}
	return nil
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// attest is --sbom or --provenance, true or false or a list of settings, as --attest has it.
func attest(kind, text string) string {
	switch strings.ToLower(text) {
	case "true", "1":
		return "type=" + kind
	case "false", "0":
		return "type=" + kind + ",disabled=true"
	}
	return "type=" + kind + "," + text
}
