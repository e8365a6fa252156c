package image

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/registry/access"
)

// ManifestVerbs is what the companion does with manifest lists.
type ManifestVerbs struct {
	Create   func(ctx context.Context, env *cmdkit.Env, list string, images []string, opts option.ManifestCreate) error
	Add      func(ctx context.Context, env *cmdkit.Env, list string, images []string, opts option.ManifestAdd) error
	Annotate func(ctx context.Context, env *cmdkit.Env, list, image string, opts option.ManifestAnnotate) error
	Take     func(ctx context.Context, env *cmdkit.Env, list, image string) error
	Remove   func(ctx context.Context, env *cmdkit.Env, lists []string, ignore bool) error
	Exists   func(ctx context.Context, env *cmdkit.Env, list string) error
	Inspect  func(ctx context.Context, env *cmdkit.Env, name string, opts access.Options) error
	Push     func(ctx context.Context, env *cmdkit.Env, list, destination string, opts option.ManifestPush) error
}

// Manifests are the commands of `wherry manifest`.
func Manifests(place cmdkit.Place) []cmdkit.Entry {
	return []cmdkit.Entry{
		{Names: "create", New: manifestCreate, Place: place},
		{Names: "add", New: manifestAdd, Place: place},
		{Names: "annotate", New: manifestAnnotate, Place: place},
		{Names: "inspect", New: manifestInspect, Place: place},
		{Names: "push", New: manifestPush, Place: place},
		{Names: "remove", New: manifestTake, Place: place},
		{Names: "rm", New: manifestRemove, Place: place},
		{Names: "exists", New: manifestExists, Place: place},
	}
}

// insecure is Docker's word for --tls-verify=false.
func insecure(o *access.Options) cli.Flag {
	f := cmdkit.Func("insecure", "Accept a registry without HTTPS, or with a certificate that nobody vouches for", func(text string) error {
		verify := text == "false"
		o.TLSVerify = &verify
		return nil
	})
	f.Bool = true
	return f
}

func annotationFlag(p *[]string) cli.Flag {
	return cmdkit.Strings(p, "annotation", "Set `KEY=VALUE`")
}

func manifestCreate(env *cmdkit.Env) *cli.Command {
	var opts option.ManifestCreate
	return &cli.Command{
		Name: "create", Usage: "Make a manifest list, of images here or in registries", ArgsUsage: "LIST [IMAGE...]",
		Flags: append(registryFlags(&opts.Options), insecure(&opts.Options), annotationFlag(&opts.Annotations),
			cmdkit.Bool(&opts.All, "all", "Of a list among the images take all entries, not only this machine's"),
			cmdkit.Bool(&opts.Amend, "amend a", "Add to a list that is there already")),
		Action: action(env, func(c *cli.Context, v *Verbs) error {
			return v.Manifest.Create(c.Context, env, c.Args().First(), c.Args().Tail(), opts)
		}),
	}
}

// instanceFlags say what a list tells of an image.
func instanceFlags(i *option.Instance) []cli.Flag {
	return []cli.Flag{
		annotationFlag(&i.Annotations),
		cmdkit.String(&i.Arch, "arch", "The image is for `ARCH`"),
		cmdkit.String(&i.OS, "os", "The image is for `OS`"),
		cmdkit.String(&i.Variant, "variant", "The image is for `VARIANT` of the architecture"),
		cmdkit.String(&i.OSVersion, "os-version", "The image needs `VERSION` of the system"),
		cmdkit.Strings(&i.Features, "features", "The image needs `FEATURE` of the processor"),
	}
}

func manifestAdd(env *cmdkit.Env) *cli.Command {
	var opts option.ManifestAdd
	a := &opts.Artifact
	flags := append(registryFlags(&opts.Options), instanceFlags(&opts.Instance)...)
	flags = append(flags,
		cmdkit.String(&opts.Creds, "creds", "`USER:PASSWORD` for the registry"),
		cmdkit.Bool(&opts.All, "all", "Of a list add all entries, not only this machine's"),
		cmdkit.Bool(&a.Wanted, "artifact", "Add files, as one artifact"),
		cmdkit.String(&a.Type, "artifact-type", "The artifact is of `TYPE`"),
		cmdkit.String(&a.Config, "artifact-config", "The artifact's configuration is in `FILE`"),
		cmdkit.String(&a.ConfigType, "artifact-config-type", "The configuration is of `TYPE`"),
		cmdkit.String(&a.LayerType, "artifact-layer-type", "The files are of `TYPE`"),
		cmdkit.Bool(&a.ExcludeTitles, "artifact-exclude-titles", "Do not note the files' names"),
		cmdkit.String(&a.Subject, "artifact-subject", "The artifact is about `IMAGE`"))
	return &cli.Command{
		Name: "add", Usage: "Add images to a manifest list", ArgsUsage: "LIST IMAGE [IMAGE...]", Flags: flags,
		Action: action(env, func(c *cli.Context, v *Verbs) error {
			if !a.Wanted && (a.Type != "" || a.Config != "" || a.ConfigType != "" || a.LayerType != "" || a.Subject != "" || a.ExcludeTitles) {
				return cmdkit.Usagef("--artifact-type and the like go with --artifact only")
			}
			return v.Manifest.Add(c.Context, env, c.Args().First(), c.Args().Tail(), opts)
		}),
	}
}

func manifestAnnotate(env *cmdkit.Env) *cli.Command {
	var opts option.ManifestAnnotate
	flags := append(instanceFlags(&opts.Instance),
		cmdkit.Strings(&opts.OSFeatures, "os-features", "The image needs `FEATURE` of the system"),
		cmdkit.Bool(&opts.Index, "index", "Annotate the list itself"),
		cmdkit.String(&opts.Subject, "subject", "The list is about `IMAGE`"))
	return &cli.Command{
		Name: "annotate", Usage: "Change what a manifest list says of an image", ArgsUsage: "LIST [IMAGE|DIGEST]", Flags: flags,
		Action: action(env, func(c *cli.Context, v *Verbs) error {
			if second(c) == "" && !opts.Index && opts.Subject == "" {
				return cmdkit.Operandsf("which image of the list? Name it or its digest, or use --index for the list itself")
			}
			return v.Manifest.Annotate(c.Context, env, c.Args().First(), second(c), opts)
		}),
	}
}

func manifestTake(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "remove", Usage: "Take an image out of a manifest list", ArgsUsage: "LIST IMAGE|DIGEST",
		Action: action(env, func(c *cli.Context, v *Verbs) error {
			return v.Manifest.Take(c.Context, env, c.Args().First(), second(c))
		}),
	}
}

func manifestRemove(env *cmdkit.Env) *cli.Command {
	var ignore bool
	return &cli.Command{
		Name: "rm", Usage: "Remove manifest lists; their images stay", ArgsUsage: "LIST...",
		Flags: []cli.Flag{cmdkit.Bool(&ignore, "ignore i", "A list that is not there is no error")},
		Action: action(env, func(c *cli.Context, v *Verbs) error {
			return v.Manifest.Remove(c.Context, env, c.Args().Slice(), ignore)
		}),
	}
}

func manifestExists(env *cmdkit.Env) *cli.Command {
	return &cli.Command{
		Name: "exists", Usage: "Say by the exit status whether a manifest list is here: 0 or 1", ArgsUsage: "LIST",
		Action: action(env, func(c *cli.Context, v *Verbs) error { return v.Manifest.Exists(c.Context, env, c.Args().First()) }),
	}
}

func manifestInspect(env *cmdkit.Env) *cli.Command {
	var opts access.Options
	return &cli.Command{
		Name: "inspect", Usage: "Show a manifest list or an image's manifest, of here or of a registry", ArgsUsage: "LIST|IMAGE",
		Flags: append(registryFlags(&opts), insecure(&opts), cmdkit.Refused("verbose", "the whole manifest is shown as it is")[0]),
		Action: action(env, func(c *cli.Context, v *Verbs) error {
			return v.Manifest.Inspect(c.Context, env, c.Args().First(), opts)
		}),
	}
}

func manifestPush(env *cmdkit.Env) *cli.Command {
	opts := option.ManifestPush{All: true, Push: option.Push{Retry: defaultRetry()}}
	flags := []cli.Flag{
		insecure(&opts.Options),
		cmdkit.Bool(&opts.All, "all", "Push the images of the list, too"),
		cmdkit.Bool(&opts.Remove, "rm purge p", "Then remove the list from here"),
		cmdkit.Bool(&opts.Quiet, "quiet q", "Print nothing"),
		cmdkit.String(&opts.DigestFile, "digestfile", "Write the digest of the pushed list to `FILE`"),
		cmdkit.String(&opts.Format, "format f", "Kind of list: `oci|v2s2`"),
		cmdkit.Strings(&opts.AddCompression, "add-compression", "Add the images a second time, compressed with `gzip|zstd|zstd:chunked`"),
		cmdkit.String(&opts.CompressionFormat, "compression-format", "Compress layers with `gzip|zstd|zstd:chunked`"),
		cmdkit.OptInt(&opts.CompressionLevel, "compression-level", "Compress with `LEVEL`"),
		cmdkit.Bool(&opts.ForceCompression, "force-compression", "Compress anew what the registry has in another compression"),
		cmdkit.Bool(&opts.RemoveSignatures, "remove-signatures", "Leave signatures out"),
	}
	return &cli.Command{
		Name: "push", Usage: "Send a manifest list and its images to a registry", ArgsUsage: "LIST [DESTINATION]",
		Flags: append(flags, transferFlags(&opts.Options, &opts.Retry)...),
		Action: action(env, func(c *cli.Context, v *Verbs) error {
			return v.Manifest.Push(c.Context, env, c.Args().First(), second(c), opts)
		}),
	}
}
