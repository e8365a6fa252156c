package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/cmd/wherry/image"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	engine "github.com/wherry-containers/wherry/pkg/image"
	"github.com/wherry-containers/wherry/pkg/image/list"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/rootfs"
)

func verbs() *image.Verbs {
	return &image.Verbs{
		Pull: pull, Push: push, Load: load, Save: save, Import: importTar, Remove: remove, Tag: tag, Untag: untag,
		Prune: prune, PruneBuild: pruneBuild, Search: search, Login: login, Logout: logout, Commit: commit,
		Manifest: manifestVerbs(), Imagetools: imagetoolsVerbs(), Sign: signVerbs(), SCP: copyOver,
	}
}

// withSession runs do with the store open.
func withSession(ctx context.Context, env *cmdkit.Env, do func(*engine.Session) error) error {
	return withConfig(ctx, env, config(env), do)
}

func withConfig(ctx context.Context, env *cmdkit.Env, cfg engine.Config, do func(*engine.Session) error) error {
	var err error
	if cfg.Driver, err = driver(ctx, env); err != nil {
		return err
	}
	s, err := engine.Open(cfg)
	if err != nil {
		return err
	}
	return errors.Join(do(s), s.Close())
}

func config(env *cmdkit.Env) engine.Config {
	cfg := engine.Config{Dirs: env.Dirs, In: env.In, Out: env.Out, Err: env.Err, Getenv: env.Getenv, EventsBackend: env.EventsBackend()}
	if cmdkit.IsTerminal(env.ErrFile) {
		cfg.Err = env.ErrFile // progress bars need the file itself
	}
	return cfg
}

// driver puts into the library's words how this machine can keep layers.
func driver(ctx context.Context, env *cmdkit.Env) (engine.Driver, error) {
	found, err := rootfs.Detect(ctx, env.Dirs)
	if err != nil {
		return engine.Driver{}, err
	}
	if found.Fresh && found.Note != "" {
		env.Warn(found.Note)
	}
	return engine.DriverFor(found.Driver)
}

func pull(ctx context.Context, env *cmdkit.Env, names []string, opts option.Pull) error {
	return withSession(ctx, env, func(s *engine.Session) error {
		for _, name := range names {
			ids, err := s.Pull(ctx, name, opts)
			for _, id := range ids {
				fmt.Fprintln(env.Out, id)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func push(ctx context.Context, env *cmdkit.Env, name, destination string, opts option.Push) error {
	return withSession(ctx, env, func(s *engine.Session) error { return s.Push(ctx, name, destination, opts) })
}

func load(ctx context.Context, env *cmdkit.Env, opts option.Load) error {
	return withSession(ctx, env, func(s *engine.Session) error {
		names, err := s.Load(ctx, opts)
		for _, name := range names {
			if strings.HasPrefix(name, "sha256:") {
				fmt.Fprintf(env.Out, "Loaded image ID: %s\n", name)
				continue
			}
			fmt.Fprintf(env.Out, "Loaded image: %s\n", name)
		}
		return err
	})
}

func save(ctx context.Context, env *cmdkit.Env, names []string, opts option.Save) error {
	return withSession(ctx, env, func(s *engine.Session) error { return s.Save(ctx, names, opts) })
}

func importTar(ctx context.Context, env *cmdkit.Env, source, name string, opts option.Import) error {
	return withSession(ctx, env, func(s *engine.Session) error {
		id, err := s.Import(ctx, source, name, opts)
		if err == nil {
			fmt.Fprintln(env.Out, "sha256:"+id)
		}
		return err
	})
}

func remove(ctx context.Context, env *cmdkit.Env, names []string, opts option.Remove) error {
	return withSession(ctx, env, func(s *engine.Session) error {
		if opts.All {
			return s.RemoveAll(ctx, opts)
		}
		return cmdkit.Each(env, names, func(name string) (string, error) { return "", s.Remove(ctx, name, opts) })
	})
}

func tag(ctx context.Context, env *cmdkit.Env, name string, names []string) error {
	return withSession(ctx, env, func(s *engine.Session) error { return s.Tag(ctx, name, names) })
}

func untag(ctx context.Context, env *cmdkit.Env, name string, names []string) error {
	return withSession(ctx, env, func(s *engine.Session) error { return s.Untag(ctx, name, names) })
}

func prune(ctx context.Context, env *cmdkit.Env, opts option.Prune) error {
	what := "all images without a name that no container stands on"
	if opts.All {
		what = "all images that no container stands on"
	}
	if !opts.Force && !env.Confirm(ctx, "This will remove "+what+".") {
		return nil
	}
	return withSession(ctx, env, func(s *engine.Session) error {
		pruned, err := s.Prune(ctx, opts)
		printPruned(env, pruned, opts.Raw)
		return err
	})
}

func printPruned(env *cmdkit.Env, pruned engine.Pruned, raw bool) {
	if raw {
		for _, id := range pruned.Images {
			fmt.Fprintf(env.Out, "deleted %s\n", id)
		}
		fmt.Fprintf(env.Out, "reclaimed %d\n", pruned.Reclaimed)
		return
	}
	if len(pruned.Images) > 0 {
		fmt.Fprintln(env.Out, "Deleted Images:")
		for _, id := range pruned.Images {
			fmt.Fprintf(env.Out, "deleted: sha256:%s\n", id)
		}
		fmt.Fprintln(env.Out)
	}
	fmt.Fprintf(env.Out, "Total reclaimed space: %s\n", list.Size(pruned.Reclaimed))
}

// found is a row of search, with Docker's fields.
type found struct {
	Name        string
	Description string
	StarCount   int
	IsOfficial  string
	IsAutomated string

	Index string `json:"-"` // Podman's names
	Stars int    `json:"-"`
}

// Headings are Docker's.
func (found) Headings() map[string]string {
	return map[string]string{"StarCount": "STARS", "IsOfficial": "OFFICIAL", "IsAutomated": "AUTOMATED"}
}

// tagged is a row of search --list-tags.
type tagged struct{ Name, Tag string }

const descriptionWidth = 45

func search(ctx context.Context, env *cmdkit.Env, term string, opts option.Search, format string) error {
	if opts.ListTags {
		if len(opts.Filters) > 0 {
			return errdefs.New(errdefs.ErrInvalid, "--filter and --list-tags exclude each other")
		}
		repository, tags, err := engine.Tags(ctx, config(env), term, opts)
		rows := make([]tagged, len(tags))
		for i, t := range tags {
			rows[i] = tagged{repository, t}
		}
		if err != nil {
			return err
		}
		return env.Print(rows, format, "{{.Name}}\t{{.Tag}}")
	}
	results, err := engine.Search(ctx, config(env), term, opts)
	if err != nil {
		return err
	}
	rows := make([]found, len(results))
	for i, r := range results {
		text := strings.Join(strings.Fields(r.Description), " ")
		if runes := []rune(text); !opts.NoTrunc && len(runes) > descriptionWidth {
			text = string(runes[:descriptionWidth-1]) + "…"
		}
		rows[i] = found{Name: r.Name, Description: text, StarCount: r.Stars, IsOfficial: mark(r.Official), IsAutomated: mark(r.Automated), Index: r.Index, Stars: r.Stars}
	}
	return env.Print(rows, format, "{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}")
}

func mark(yes bool) string {
	if yes {
		return "[OK]"
	}
	return ""
}
