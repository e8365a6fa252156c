package request

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/ociindex"
)

// DropMissing leaves out caches of directories that are not there, and says so: BuildKit's client would make the
// directory and say nothing.
func (r *Request) DropMissing(warn func(string)) {
	r.Solve.CacheImports = slices.DeleteFunc(r.Solve.CacheImports, func(e client.CacheOptionsEntry) bool {
		if e.Type != "local" || e.Attrs["digest"] != "" {
			return false
		}
		tag, ok := e.Attrs["tag"]
		if !ok {
			tag = "latest"
		}
		err := hasCache(e.Attrs["src"], tag)
		if err != nil && warn != nil {
			warn(fmt.Sprintf("--cache-from type=local,src=%s is not used: %v", e.Attrs["src"], err))
		}
		return err != nil
	})
}

func hasCache(dir, tag string) error {
	if _, err := os.Stat(filepath.Join(dir, "index.json")); err != nil {
		return err
	}
	desc, err := ociindex.NewStoreIndex(dir).Get(tag)
	if err == nil && desc == nil {
		err = fmt.Errorf("it has no cache with the tag %s", tag)
	}
	return err
}
