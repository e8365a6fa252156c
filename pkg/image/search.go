package image

import (
	"context"
	"strconv"
	"strings"

	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/pkg/sysregistriesv2"
	"github.com/containers/image/v5/types"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/registry"
)

// SystemContext is the setting for commands that need registries but no store (login, search).
func SystemContext(cfg Config) types.SystemContext { return systemContext(cfg, "") }

// Search asks the registry that term begins with, else the search registries of registries.conf, else Docker Hub.
func Search(ctx context.Context, cfg Config, term string, opts option.Search) ([]registry.Result, error) {
	keep, err := searchFilter(opts.Filters)
	if err != nil {
		return nil, err
	}
	base := SystemContext(cfg)
	hosts := []string{registry.DefaultHost}
	if isQualified(term) {
		hosts[0], term, _ = strings.Cut(term, "/")
	} else if search, err := sysregistriesv2.UnqualifiedSearchRegistries(&base); err != nil {
		return nil, joinLines(err)
	} else if len(search) > 0 {
		hosts = search
	}
	if opts.Limit <= 0 || opts.Limit > 100 {
		return nil, errdefs.New(errdefs.ErrInvalid, "invalid --limit %d: want 1 to 100", opts.Limit)
	}
	var out []registry.Result
	var faults []error
	for _, host := range hosts {
		sys := base
		if err := registry.Apply(&sys, host, opts.Options); err != nil {
			return nil, err
		}
		found, err := registry.Search(ctx, &sys, host, term, opts.Limit)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		for _, r := range found {
			if keep(r) {
				out = append(out, r)
			}
		}
	}
	if len(out) == 0 && len(faults) > 0 {
		return nil, joinFaults(faults)
	}
	return out, nil
}

// Tags lists the tags of the repository that name names.
func Tags(ctx context.Context, cfg Config, name string, opts option.Search) (repository string, tags []string, err error) {
	base := SystemContext(cfg)
	list, err := candidates(&base, strings.TrimPrefix(name, registryPrefix))
	if err != nil {
		return "", nil, joinLines(err)
	}
	repo := reference.TrimNamed(list[0].name)
	if err := registry.Apply(&base, reference.Domain(repo), opts.Options); err != nil {
		return "", nil, err
	}
	tags, err = registry.Tags(ctx, &base, repo)
	if len(tags) > opts.Limit {
		tags = tags[:opts.Limit]
	}
	return repo.Name(), tags, err
}

// searchFilter reads stars=N, is-official=BOOL and is-automated=BOOL.
func searchFilter(filters []string) (func(registry.Result) bool, error) {
	var checks []func(registry.Result) bool
	for _, text := range filters {
		key, value, _ := strings.Cut(text, "=")
		switch key {
		case "stars":
			n, err := strconv.Atoi(value)
			if err != nil {
				return nil, errdefs.New(errdefs.ErrInvalid, "invalid --filter %q: want stars=NUMBER", text)
			}
			checks = append(checks, func(r registry.Result) bool { return r.Stars >= n })
		case "is-official", "is-automated":
			want, err := strconv.ParseBool(value)
			if err != nil {
				return nil, errdefs.New(errdefs.ErrInvalid, "invalid --filter %q: want true or false", text)
			}
			official := key == "is-official"
			checks = append(checks, func(r registry.Result) bool {
				return want == (official && r.Official || !official && r.Automated)
			})
		default:
			return nil, errdefs.New(errdefs.ErrInvalid, "invalid --filter %q: want stars, is-official or is-automated, as KEY=VALUE", text)
		}
	}
	return func(r registry.Result) bool {
		for _, check := range checks {
			if !check(r) {
				return false
			}
		}
		return true
	}, nil
}
