package buildcache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/layout"
	"github.com/wherry-containers/wherry/pkg/store"
)

// PruneOptions say what goes. The zero value: all that no build uses, but what images have, too, and internal things.
type PruneOptions struct {
	All     bool          // also what is shared with images, and internal things
	Filters []string      // KEY=VALUE, KEY!=VALUE, KEY~=REGEXP: id, parents, description, type, inuse, shared, private, until
	Unused  time.Duration // only what was not used for so long
	// Limits, of which none stands for: no limit, all goes. What was used last stays.
	Reserved int64 // so much may stay in any case
	MaxUsed  int64 // no more than that stays
	MinFree  int64 // so much of the disk is to be free
}

// Plan says what a prune would remove.
func Plan(ctx context.Context, d layout.Dirs, o PruneOptions) ([]*Entry, error) {
	match, err := ParseFilters(o.Filters, time.Now())
	if err != nil {
		return nil, err
	}
	c, err := read(ctx, d)
	if err != nil {
		return nil, err
	}
	keep, limited, err := o.keep(c, d)
	if err != nil {
		return nil, err
	}
	may := func(e *Entry) bool {
		return !e.InUse && e.below == "" && (o.All || !e.Shared && e.Kind != KindFrontend && (e.Kind != KindInternal || e.record == nil)) &&
			(o.Unused == 0 || time.Since(e.LastUsed) >= o.Unused) && match(e)
	}
	candidates := slices.DeleteFunc(slices.Clone(c.entries), func(e *Entry) bool { return !may(e) })
	if !limited {
		return candidates, nil
	}
	return c.upTo(keep, candidates), nil
}

// upTo chooses what goes so that no more than keep bytes stay: the least recently used of those that nothing stands on,
// again and again. What something stands on frees no room.
func (c *contents) upTo(keep int64, candidates []*Entry) []*Entry {
	count, total := c.counts()
	under := map[string]int{}
	for _, e := range c.entries {
		e.addUnder(under, 1)
	}
	var plan []*Entry
	for total > keep {
		i := slices.IndexFunc(candidates, func(e *Entry) bool { return !e.isUnder(under) })
		if i < 0 {
			break
		}
		total -= c.freed(candidates[i], count)
		candidates[i].addUnder(under, -1)
		plan = append(plan, candidates[i])
		candidates = slices.Delete(candidates, i, i+1)
	}
	return plan
}

// addUnder counts the layers that an entry's results stand on.
func (e *Entry) addUnder(under map[string]int, n int) {
	if e.record == nil {
		return
	}
	for _, stack := range e.record.Outputs {
		for i := range len(stack) - 1 {
			under[stack[i]] += n
		}
	}
}

// isUnder tells whether another entry stands on a result of the entry.
func (e *Entry) isUnder(under map[string]int) bool {
	return e.record != nil && slices.ContainsFunc(e.record.Outputs, func(stack []string) bool {
		return len(stack) > 0 && under[stack[len(stack)-1]] > 0
	})
}

// keep is how many bytes may stay; limited: there is such a bound.
func (o PruneOptions) keep(c *contents, d layout.Dirs) (keep int64, limited bool, err error) {
	if o.Reserved == 0 && o.MaxUsed == 0 && o.MinFree == 0 {
		return 0, false, nil
	}
	_, total := c.counts()
	keep = o.MaxUsed
	if o.MinFree > 0 {
		var st unix.Statfs_t
		if err := unix.Statfs(d.Data, &st); err != nil {
			return 0, false, fmt.Errorf("free room of %s: %w", d.Data, err)
		}
		if excess := o.MinFree - int64(st.Bavail)*int64(st.Bsize); excess > 0 && keep == 0 {
			keep = total - excess
		} else if excess > 0 {
			keep = min(keep, total-excess)
		} else if keep == 0 {
			keep = total
		}
	}
	return max(keep, o.Reserved), true, nil
}

// counts says how many entries need each layer, and how many bytes the cache takes.
func (c *contents) counts() (map[string]int, int64) {
	count := map[string]int{}
	var total int64
	for _, e := range c.entries {
		if e.record == nil {
			if e.below == "" {
				total += e.Size
			}
			continue
		}
		for _, id := range e.record.Layers() {
			if count[id]++; count[id] == 1 && !c.uses[id].ByImage {
				total += c.uses[id].Size
			}
		}
	}
	return count, total
}

// freed is what the removal of an entry gives back.
func (c *contents) freed(e *Entry, count map[string]int) int64 {
	if e.record == nil {
		return e.Size
	}
	var sum int64
	for _, id := range e.record.Layers() {
		if count[id]--; count[id] == 0 && !c.uses[id].ByImage {
			sum += c.uses[id].Size
		}
	}
	return sum
}

// Remove removes entries that Plan named, and returns the layers that they needed. Who calls holds the lock on images
// exclusively, and removes those that nothing else needs. An entry that is in use by now stays.
func Remove(d layout.Dirs, plan []*Entry) (removed []*Entry, layers []string, err error) {
	for _, e := range plan {
		gone, fault := e.remove(d)
		err = errors.Join(err, fault)
		if !gone {
			continue
		}
		removed = append(removed, e)
		if e.record != nil {
			layers = append(layers, e.record.Layers()...)
		}
		faultpoint.Hit("build.pruned")
	}
	slices.Sort(layers)
	return removed, slices.Compact(layers), errors.Join(err, forgetContents(d))
}

func (e *Entry) remove(d layout.Dirs) (bool, error) {
	switch {
	case e.record != nil:
		err := os.Remove(e.record.file)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return err == nil, err
	case e.Kind == KindMount || e.source:
		return removeMount(d, e.paths[0])
	}
	var err error
	for _, path := range e.paths {
		if fault := os.Remove(path); !errors.Is(fault, fs.ErrNotExist) {
			err = errors.Join(err, fault)
		}
	}
	return err == nil, err
}

// removeMount moves a cache directory, or a source, to the trash while nobody uses it.
func removeMount(d layout.Dirs, place string) (bool, error) {
	f, err := os.Open(place)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	} else if err != nil {
		return false, err
	}
	defer f.Close()
	if err := TryFlock(f, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return false, nil
	}
	if err := os.MkdirAll(d.Trash(), 0o700); err != nil {
		return false, err
	}
	trash, err := os.MkdirTemp(d.Trash(), "cache-")
	if err != nil {
		return false, err
	}
	if err := os.Rename(place, filepath.Join(trash, filepath.Base(place))); err != nil {
		return false, errors.Join(err, os.Remove(trash))
	}
	return true, os.RemoveAll(trash)
}

// forgetContents removes the digests of stacks of which a layer is gone, and what killed writers left. It runs before the
// layers go, so the next one removes those of today.
func forgetContents(d layout.Dirs) error {
	entries, err := os.ReadDir(ContentDir(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		path := filepath.Join(ContentDir(d), e.Name())
		if strings.HasPrefix(e.Name(), ".tmp-") {
			if info, statErr := e.Info(); statErr == nil && time.Since(info.ModTime()) > time.Hour {
				err = errors.Join(err, os.Remove(path))
			}
		} else if !stackThere(d, path) {
			err = errors.Join(err, os.Remove(path))
		}
	}
	return err
}

func stackThere(d layout.Dirs, path string) bool {
	data, err := os.ReadFile(path)
	if err != nil {
		return true // somebody else removes it
	}
	first, _, _ := strings.Cut(string(data), "\n")
	for id := range strings.FieldsSeq(first) {
		if !LayerThere(d, id) {
			return false
		}
	}
	return true
}

// LayerThere tells whether a layer's files are there.
func LayerThere(d layout.Dirs, id string) bool {
	if len(id) != 64 || !isHex(id) {
		return false
	}
	_, ok := store.Open(d).LayerRoot(id)
	return ok
}

// ParseFilters reads filters: all must hold.
func ParseFilters(filters []string, now time.Time) (func(*Entry) bool, error) {
	var tests []func(*Entry) bool
	for _, f := range filters {
		test, err := parseFilter(f, now)
		if err != nil {
			return nil, err
		}
		tests = append(tests, test)
	}
	return func(e *Entry) bool {
		return !slices.ContainsFunc(tests, func(test func(*Entry) bool) bool { return !test(e) })
	}, nil
}

func parseFilter(f string, now time.Time) (func(*Entry) bool, error) {
	at := strings.Index(f, "=")
	key, value := f, ""
	if at >= 0 {
		key, value = f[:at], strings.TrimPrefix(f[at+1:], "=")
	}
	negated, matches := strings.HasSuffix(key, "!"), strings.HasSuffix(key, "~")
	key = strings.TrimSpace(strings.TrimRight(key, "!~"))
	if key == "until" || key == "unused-for" {
		age, err := time.ParseDuration(value)
		if err != nil || negated || matches {
			return nil, errdefs.New(errdefs.ErrInvalid, "filter %q: want %s=24h or another duration", f, key)
		}
		return func(e *Entry) bool { return now.Sub(e.LastUsed) >= age }, nil
	}
	get := filterField(key)
	if get == nil {
		return nil, errdefs.New(errdefs.ErrInvalid, "filter %q is not known (want until, id, parents, description, type, inuse, shared or private)", f)
	}
	if at < 0 { // that it is so
		value = "true"
	}
	equal := func(s string) bool { return s == value }
	if matches {
		re, err := regexp.Compile(value)
		if err != nil {
			return nil, errdefs.New(errdefs.ErrInvalid, "filter %q: %v", f, err)
		}
		equal = re.MatchString
	}
	return func(e *Entry) bool { return slices.ContainsFunc(get(e), equal) != negated }, nil
}

// filterField is what a filter can ask for; nil: nothing of that name.
func filterField(key string) func(*Entry) []string {
	switch key {
	case "id":
		return func(e *Entry) []string { return []string{e.ID} }
	case "parents":
		return func(e *Entry) []string { return e.Parents }
	case "description":
		return func(e *Entry) []string { return []string{e.Description} }
	case "type":
		return func(e *Entry) []string { return []string{e.Kind} }
	case "inuse":
		return func(e *Entry) []string { return truth(e.InUse) }
	case "shared":
		return func(e *Entry) []string { return truth(e.Shared) }
	case "private":
		return func(e *Entry) []string { return truth(!e.Shared) }
	case "mutable":
		return func(e *Entry) []string { return truth(e.Kind == KindMount) }
	case "immutable":
		return func(e *Entry) []string { return truth(e.Kind != KindMount) }
	}
	return nil
}

func truth(b bool) []string {
	if b {
		return []string{"true", "1"}
	}
	return []string{"false", "0"}
}
