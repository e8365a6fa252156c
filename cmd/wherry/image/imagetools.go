package image

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

// ImagetoolsVerbs is what the companion does with images in registries.
type ImagetoolsVerbs struct {
	Create  func(ctx context.Context, env *cmdkit.Env, sources []string, opts option.ImagetoolsCreate) error
	Inspect func(ctx context.Context, env *cmdkit.Env, name string, opts option.ImagetoolsInspect) error
}

// Imagetools are the commands of `wherry buildx imagetools`.
func Imagetools(place cmdkit.Place) []cmdkit.Entry {
	return []cmdkit.Entry{
		{Names: "create", New: imagetoolsCreate, Place: place},
		{Names: "inspect", New: imagetoolsInspect, Place: place},
	}
}

func imagetoolsCreate(env *cmdkit.Env) *cli.Command {
	opts := option.ImagetoolsCreate{PreferIndex: true}
	flags := append(registryFlags(&opts.Options),
		cmdkit.Strings(&opts.Tags, "tag t", "Name the new image `HOST/NAME[:TAG]`"),
		cmdkit.Strings(&opts.Files, "file f", "Take a source from `FILE`: a name, a digest or a descriptor as JSON"),
		cmdkit.Bool(&opts.Append, "append", "Add to what the (first) tag names now"),
		cmdkit.Bool(&opts.DryRun, "dry-run", "Show the index instead of writing it"),
		cmdkit.Strings(&opts.Annotations, "annotation", "Annotate the index: `[index:]KEY=VALUE`"),
		cmdkit.Bool(&opts.PreferIndex, "prefer-index", "Make an index even of a single image"),
	)
	flags = append(flags, cmdkit.Refused("progress", "nothing is shown but the result")...)
	flags = append(flags, cmdkit.Refused("platform,p metadata-file", "name the images of the platforms by digest, and use imagetools inspect")...)
	return &cli.Command{
		Name: "create", Usage: "Make an image in a registry of images in registries", ArgsUsage: "[SOURCE...]", Flags: flags,
		Action: action(env, func(c *cli.Context, v *Verbs) error {
			return v.Imagetools.Create(c.Context, env, c.Args().Slice(), opts)
		}),
	}
}

func imagetoolsInspect(env *cmdkit.Env) *cli.Command {
	var opts option.ImagetoolsInspect
	return &cli.Command{
		Name: "inspect", Usage: "Show an image of a registry", ArgsUsage: "NAME",
		Flags: append(registryFlags(&opts.Options),
			cmdkit.String(&opts.Format, "format", "Print as `TEMPLATE`, of .Name, .Manifest and .Image"),
			cmdkit.Bool(&opts.Raw, "raw", "Print the manifest as the registry has it")),
		Action: action(env, func(c *cli.Context, v *Verbs) error {
			if opts.Raw && opts.Format != "" {
				return cmdkit.Usagef("--raw and --format exclude each other")
			}
			return v.Imagetools.Inspect(c.Context, env, c.Args().First(), opts)
		}),
	}
}
