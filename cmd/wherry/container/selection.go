package container

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// selection says which containers a command works on: named ones, or those that fulfil a condition.
type selection struct {
	all     bool
	latest  bool
	ignore  bool
	filters map[string][]string
	files   []string
}

func (s *selection) flags() []cli.Flag {
	return []cli.Flag{
		cmdkit.Bool(&s.all, "all a", "All containers that this makes sense for"),
		cmdkit.Bool(&s.latest, "latest l", "The newest container"),
		cmdkit.Filters(&s.filters, "filter f", "Only containers for which `KEY=VALUE` holds"),
		cmdkit.Strings(&s.files, "cidfile", "The container whose id is in `FILE`"),
	}
}

// withoutShort takes the one-letter name from a flag of a command that has it for another one.
func withoutShort(flags []cli.Flag, name string) []cli.Flag {
	for _, f := range flags {
		if f, ok := f.(*cmdkit.Flag); ok && f.Name == name {
			f.Aliases = nil
		}
	}
	return flags
}

func (s *selection) ignoreFlag() cli.Flag {
	return cmdkit.Bool(&s.ignore, "ignore i", "An unknown container is no error")
}

// refs returns the containers to work on. Of --all and --filter only those with one of the statuses count.
func (s *selection) refs(ctx context.Context, e *libpod.Engine, operands []string, statuses ...record.Status) ([]string, error) {
	refs := operands
	for _, path := range s.files {
		data, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) && s.ignore {
			continue
		} else if err != nil {
			return nil, cmdkit.Usagef("--cidfile: %v", err)
		}
		refs = append(refs, strings.TrimSpace(string(data)))
	}
	bySearch := s.all || s.latest || len(s.filters) > 0
	switch {
	case bySearch && len(operands) > 0:
		return nil, cmdkit.Usagef("--all, --latest and --filter do not go with named containers")
	case bySearch:
		found, err := s.search(ctx, e, statuses)
		return append(refs, found...), err
	case len(refs) == 0 && len(s.files) == 0:
		return nil, cmdkit.Operandsf("which container? Name one, or use --all, --latest, --filter or --cidfile")
	}
	return refs, nil
}

func (s *selection) search(ctx context.Context, e *libpod.Engine, statuses []record.Status) ([]string, error) {
	opts := libpod.ListOptions{All: true, Filters: s.filters}
	if s.latest {
		opts.Last = 1
	}
	rows, err := e.List(ctx, opts)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, row := range rows {
		if s.latest || len(statuses) == 0 || contains(statuses, row.Status) {
			ids = append(ids, row.ID)
		}
	}
	if s.latest && len(ids) == 0 {
		return nil, errdefs.New(errdefs.ErrNotFound, "there is no container yet")
	}
	return ids, nil
}

func contains(statuses []record.Status, status record.Status) bool {
	for _, s := range statuses {
		if s == status {
			return true
		}
	}
	return false
}

// each works on every selected container and prints what was typed. A container that goes away meanwhile is no
// error where the user did not name it.
func (s *selection) each(ctx context.Context, env *cmdkit.Env, operands []string, statuses []record.Status, work func(e *libpod.Engine, ref string) error) error {
	e := engine(env)
	refs, err := s.refs(ctx, e, operands, statuses...)
	if err != nil {
		return err
	}
	searched := s.all || len(s.filters) > 0
	return cmdkit.Each(env, refs, func(ref string) (string, error) {
		err := work(e, ref)
		if errors.Is(err, errdefs.ErrNotFound) && (s.ignore || searched) {
			return "", nil
		}
		return ref, err
	})
}

// one is the container of a command that takes a single one, by name or --latest.
func one(ctx context.Context, e *libpod.Engine, latest bool, operands []string) (string, []string, error) {
	if !latest {
		if len(operands) == 0 {
			return "", nil, cmdkit.Operandsf("which container? Name one, or use --latest")
		}
		return operands[0], operands[1:], nil
	}
	s := selection{latest: true}
	ids, err := s.search(ctx, e, nil)
	if err != nil {
		return "", nil, err
	}
	return ids[0], operands, nil
}
