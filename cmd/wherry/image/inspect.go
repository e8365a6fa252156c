package image

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image/list"
	"github.com/wherry-containers/wherry/pkg/store"
)

// Inspect is `wherry image inspect`.
func Inspect(env *cmdkit.Env) *cli.Command {
	var format string
	return &cli.Command{
		Name: "inspect", Usage: "Show everything about images", ArgsUsage: "IMAGE...",
		Flags:  []cli.Flag{cmdkit.String(&format, "format f", "Print as `json|TEMPLATE`")},
		Action: func(c *cli.Context) error { return inspectImages(c.Context, env, format, c.Args().Slice()) },
	}
}

// inspectImages prints what it finds, and then says what it did not find.
func inspectImages(ctx context.Context, env *cmdkit.Env, format string, names []string) error {
	s := store.Open(env.Dirs)
	docs := []list.Document{}
	var faults []error
	for _, name := range names {
		img, err := s.Lookup(ctx, name)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		docs = append(docs, list.Inspect(img))
	}
	if err := printDocuments(env, docs, format); err != nil {
		return err
	}
	if len(faults) == 0 {
		return nil
	}
	for _, fault := range faults[:len(faults)-1] {
		fmt.Fprintf(env.Err, "Error: %v\n", fault)
	}
	return &errdefs.ExitError{Code: 1, Err: faults[len(faults)-1]}
}

func printDocuments(env *cmdkit.Env, docs []list.Document, format string) error {
	if format == "" {
		return env.PrintOne(docs, "")
	}
	var errs error
	for i := range docs {
		errs = errors.Join(errs, env.PrintOne(docs[i], format))
	}
	return errs
}
