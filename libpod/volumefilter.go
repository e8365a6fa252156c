package libpod

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/events"
)

type volumeTest = func(*Volume) bool

// volumeFilter: all filters must hold, of one key and several values one value, but for labels, which must all be there.
func (e *Engine) volumeFilter(ctx context.Context, filters map[string][]string) (volumeTest, error) {
	var tests []volumeTest
	for key, values := range filters {
		var any []volumeTest
		for _, value := range values {
			test, err := e.volumeTest(ctx, key, value)
			if err != nil {
				return nil, err
			}
			if strings.HasPrefix(key, "label") {
				tests = append(tests, test)
			} else {
				any = append(any, test)
			}
		}
		if len(any) > 0 {
			tests = append(tests, func(v *Volume) bool {
				return slices.ContainsFunc(any, func(ok volumeTest) bool { return ok(v) })
			})
		}
	}
	return func(v *Volume) bool {
		return !slices.ContainsFunc(tests, func(ok volumeTest) bool { return !ok(v) })
	}, nil
}

func (e *Engine) volumeTest(ctx context.Context, key, value string) (volumeTest, error) {
	switch key {
	case "name":
		return func(v *Volume) bool { return strings.Contains(v.Name, value) }, nil
	case "label":
		return func(v *Volume) bool { return matchLabel(v.Labels, value) }, nil
	case "label!":
		return func(v *Volume) bool { return !matchLabel(v.Labels, value) }, nil
	case "opt":
		return func(v *Volume) bool { return matchLabel(v.Options, value) }, nil
	case "driver":
		return func(v *Volume) bool { return v.Driver == value }, nil
	case "scope":
		return func(v *Volume) bool { return v.Scope == value }, nil
	case "anonymous":
		want, err := parseBool(key, value)
		return func(v *Volume) bool { return v.Anonymous == want }, err
	case "dangling":
		want, err := parseBool(key, value)
		if err != nil {
			return nil, err
		}
		used, err := e.volumeUsers(ctx)
		return func(v *Volume) bool { return (len(used[v.Name]) == 0) == want }, err
	case "until":
		when, err := parseWhen(key, value)
		return func(v *Volume) bool { return v.CreatedAt.Before(when) }, err
	case "since", "after":
		other, err := e.VolumeInspect(ctx, value)
		if err != nil {
			return nil, err
		}
		return func(v *Volume) bool { return v.CreatedAt.After(other.CreatedAt) }, nil
	}
	return nil, errdefs.New(errdefs.ErrInvalid, "unknown volume filter %q (name, label, driver, dangling, opt, scope, anonymous, since, until)", key)
}

// VolumePruneOptions is what `volume prune` needs.
type VolumePruneOptions struct {
	All     bool // named volumes too
	Filters map[string][]string
	DryRun  bool // only say what would go
}

// VolumePrune removes unused volumes: the anonymous ones, with All also the named ones. It returns their names and the
// bytes they took.
func (e *Engine) VolumePrune(ctx context.Context, opts VolumePruneOptions) ([]string, int64, error) {
	opts, err := dockersAll(opts)
	if err != nil {
		return nil, 0, err
	}
	list, err := e.VolumeList(ctx, opts.Filters)
	if err != nil {
		return nil, 0, err
	}
	used, err := e.volumeUsers(ctx)
	if err != nil {
		return nil, 0, err
	}
	var removed []string
	var reclaimed int64
	for _, v := range list {
		if len(used[v.Name]) > 0 || !opts.All && !v.Anonymous {
			continue
		}
		size := treeSize(v.Mountpoint)
		var rmErr error
		if !opts.DryRun {
			rmErr = e.removeVolume(v.Name, false)
		}
		switch {
		case rmErr == nil:
			removed = append(removed, v.Name)
			reclaimed += size
		case !errors.Is(rmErr, errdefs.ErrInUse) && !errors.Is(rmErr, errdefs.ErrNotFound):
			err = errors.Join(err, rmErr)
		}
	}
	if !opts.DryRun {
		e.notePrune(events.Volume, reclaimed)
	}
	return removed, reclaimed, err
}

// dockersAll takes Docker's filter all=true for what it is.
func dockersAll(opts VolumePruneOptions) (VolumePruneOptions, error) {
	rest := map[string][]string{}
	for key, values := range opts.Filters {
		if key != "all" {
			rest[key] = values
			continue
		}
		for _, value := range values {
			all, err := parseBool(key, value)
			if err != nil {
				return opts, err
			}
			opts.All = opts.All || all
		}
	}
	opts.Filters = rest
	return opts, nil
}
