// Package list shows the images of a store: which ones, in what order, and as which rows, documents and steps of
// history. It reads through package store only, so that the front stays small.
package list

import (
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/store"
)

// Filter is what `images` and `image prune` select by. Values of one key are alternatives, except labels, which must
// all be there; keys must all fit.
type Filter struct {
	references []string
	ids        []string
	labels     []label
	dangling   *bool
	readOnly   *bool
	before     string // image
	since      string // image
	until      time.Time
}

// label is key or key=value; not turns it round.
type label struct {
	key, value string
	hasValue   bool
	not        bool
}

// ParseFilter reads KEY=VALUE filters. Keys that the command does not know are refused by name.
func ParseFilter(filters []string, now time.Time, known ...string) (Filter, error) {
	var f Filter
	for _, text := range filters {
		key, value, found := strings.Cut(text, "=")
		key = strings.TrimSpace(key)
		if !found || !slices.Contains(known, strings.TrimSuffix(key, "!")) {
			return f, errdefs.New(errdefs.ErrInvalid, "invalid --filter %q: want one of %s, as KEY=VALUE", text, strings.Join(known, ", "))
		}
		if err := f.add(key, value, now); err != nil {
			return f, errdefs.New(errdefs.ErrInvalid, "invalid --filter %q: %v", text, err)
		}
	}
	return f, nil
}

func (f *Filter) add(key, value string, now time.Time) (err error) {
	switch key {
	case "reference":
		if _, err := path.Match(value, ""); err != nil {
			return errdefs.New(errdefs.ErrInvalid, "the pattern does not parse")
		}
		f.references = append(f.references, value)
	case "id":
		f.ids = append(f.ids, strings.TrimPrefix(value, "sha256:"))
	case "label", "label!":
		l := label{not: key == "label!"}
		l.key, l.value, l.hasValue = strings.Cut(value, "=")
		f.labels = append(f.labels, l)
	case "dangling":
		f.dangling, err = parseBool(value)
	case "readonly":
		f.readOnly, err = parseBool(value)
	case "before":
		f.before = value
	case "since", "after":
		f.since = value
	case "until":
		f.until, err = ParseTime(value, now)
	default:
		return errdefs.New(errdefs.ErrInvalid, "%q cannot be negated", strings.TrimSuffix(key, "!"))
	}
	return err
}

func parseBool(value string) (*bool, error) {
	b, err := strconv.ParseBool(value)
	if err != nil {
		return nil, errdefs.New(errdefs.ErrInvalid, "want true or false")
	}
	return &b, nil
}

// ParseTime reads a time as Docker's filters have it: RFC 3339 or parts of it, seconds since 1970, or a duration
// before now.
func ParseTime(value string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(value); err == nil {
		return now.Add(-d), nil
	}
	if seconds, err := strconv.ParseFloat(value, 64); err == nil && seconds > -1e11 && seconds < 1e11 {
		return time.Unix(0, 0).Add(time.Duration(seconds * float64(time.Second))), nil
	}
	for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(form, value, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errdefs.New(errdefs.ErrInvalid, "want a duration (24h), a time (2006-01-02T15:04:05) or seconds since 1970")
}

// NeedsConfig says whether images must be read with their configuration.
func (f *Filter) NeedsConfig() bool { return len(f.labels) > 0 }

// DanglingGiven says whether the user chose by dangling.
func (f *Filter) DanglingGiven() (value, given bool) {
	if f.dangling == nil {
		return false, false
	}
	return *f.dangling, true
}

// Images selects from all. find looks up the images that before and since name.
func (f *Filter) Images(all []store.Image, find func(name string) (*store.Image, error)) ([]store.Image, error) {
	var before, since time.Time
	for _, bound := range []struct {
		name string
		into *time.Time
	}{{f.before, &before}, {f.since, &since}} {
		if bound.name == "" {
			continue
		}
		img, err := find(bound.name)
		if err != nil {
			return nil, err
		}
		*bound.into = img.Created
	}
	var out []store.Image
	for _, img := range all {
		if f.Match(img) && (before.IsZero() || img.Created.Before(before)) && (since.IsZero() || img.Created.After(since)) {
			out = append(out, img)
		}
	}
	return out, nil
}

// Match says whether one image fits, before and since aside.
func (f *Filter) Match(img store.Image) bool {
	switch {
	case f.dangling != nil && *f.dangling != IsDangling(img),
		f.readOnly != nil && *f.readOnly != img.ReadOnly,
		!f.until.IsZero() && !img.Created.Before(f.until),
		len(f.ids) > 0 && !slices.ContainsFunc(f.ids, func(id string) bool { return strings.HasPrefix(img.ID, id) }):
		return false
	}
	return f.matchLabels(img.Config.Config.Labels) && (len(f.references) == 0 || f.matchAnyName(img))
}

// IsDangling says whether an image has no name, and no manifest list names it.
func IsDangling(img store.Image) bool { return len(img.Names) == 0 && !img.Listed }

func (f *Filter) matchLabels(labels map[string]string) bool {
	for _, l := range f.labels {
		value, there := labels[l.key]
		if (there && (!l.hasValue || l.value == value)) == l.not {
			return false
		}
	}
	return true
}

func (f *Filter) matchAnyName(img store.Image) bool {
	return slices.ContainsFunc(img.Names, f.MatchName)
}

// MatchName says whether a full name fits the reference filters; all do without one.
func (f *Filter) MatchName(full string) bool {
	if len(f.references) == 0 {
		return true
	}
	n := ParseName(full)
	for _, pattern := range f.references {
		for _, form := range n.forms() {
			if ok, _ := path.Match(pattern, form); ok {
				return true
			}
		}
	}
	return false
}

// MatchWithoutDangling is Match for a caller that has decided about dangling itself.
func (f Filter) MatchWithoutDangling(img store.Image) bool {
	f.dangling = nil
	return f.Match(img)
}
