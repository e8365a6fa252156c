package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	imgspec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/cmd/wherry/image"
	engine "github.com/wherry-containers/wherry/pkg/image"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

func imagetoolsVerbs() *image.ImagetoolsVerbs {
	return &image.ImagetoolsVerbs{Create: imagetoolsCreate, Inspect: imagetoolsInspect}
}

func imagetoolsCreate(ctx context.Context, env *cmdkit.Env, sources []string, opts option.ImagetoolsCreate) error {
	return withSession(ctx, env, func(s *engine.Session) error {
		made, err := s.ImagetoolsCreate(ctx, sources, opts)
		if err == nil && opts.DryRun {
			_, err = fmt.Fprintf(env.Out, "%s\n", made)
		}
		return err
	})
}

func imagetoolsInspect(ctx context.Context, env *cmdkit.Env, name string, opts option.ImagetoolsInspect) error {
	return withSession(ctx, env, func(s *engine.Session) error {
		r, err := s.ImagetoolsInspect(ctx, name, opts.Format != "", opts.Options)
		switch {
		case err != nil:
			return err
		case opts.Raw:
			_, err = env.Out.Write(r.Raw) // without a line's end: its digest is that of the manifest
			return err
		case opts.Format != "":
			return env.PrintOne(r, opts.Format)
		}
		return printRemote(env.Out, r)
	})
}

// printRemote prints as buildx does.
func printRemote(out io.Writer, r *engine.RemoteImage) error {
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	fmt.Fprintf(w, "Name:\t%s\nMediaType:\t%s\nDigest:\t%s\n", r.Name, r.Manifest.MediaType, r.Manifest.Digest)
	if len(r.Manifest.Manifests) > 0 {
		fmt.Fprint(w, "\t\nManifests:\t\n")
	}
	for i, m := range r.Manifest.Manifests {
		if i > 0 {
			fmt.Fprint(w, "\t\n")
		}
		printEntry(w, engine.WithDigest(r.Name, m.Digest), m)
	}
	return w.Flush()
}

func printEntry(w io.Writer, name string, m imgspec.Descriptor) {
	fmt.Fprintf(w, "  Name:\t%s\n  MediaType:\t%s\n", name, m.MediaType)
	if p := m.Platform; p != nil {
		text := p.OS + "/" + p.Architecture
		if p.Variant != "" {
			text += "/" + p.Variant
		}
		fmt.Fprintf(w, "  Platform:\t%s\n", text)
	}
}
