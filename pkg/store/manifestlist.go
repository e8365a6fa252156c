package store

import (
	"encoding/json"
	"runtime"
	"slices"
	"strings"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// listEntry is one image that a manifest list names.
type listEntry struct {
	Digest   string
	Platform struct{ OS, Architecture, Variant string }
}

func (e listEntry) String() string {
	p := e.Platform
	return strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
}

// readList reads a manifest list. It is an image without layers; false: the record is not one.
func readList(g graph, rec imageRecord) ([]listEntry, bool) {
	if rec.TopLayer != "" {
		return nil, false
	}
	data, err := readManifest(g, rec.ID, rec.Digest)
	if err != nil {
		return nil, false
	}
	var l struct {
		Manifests []listEntry
		Config    *struct{}
	}
	if json.Unmarshal(data, &l) != nil || l.Config != nil || l.Manifests == nil {
		return nil, false
	}
	return l.Manifests, true
}

// listed makes the Image of this machine's platform that a list names.
func (s *Store) listed(rec imageRecord, name string, entries []listEntry, graphs []graph) (*Image, error) {
	at := len(graphs) - 1
	images, err := graphs[at].images()
	if err != nil {
		return nil, err
	}
	var has []string
	for _, e := range entries {
		if e.Platform.OS == "linux" && e.Platform.Architecture == runtime.GOARCH {
			i := slices.IndexFunc(images, func(r imageRecord) bool { return r.ID != rec.ID && slices.Contains(r.knownDigests(), e.Digest) })
			if i < 0 {
				continue // it lies in a registry
			}
			img, err := s.build(images[i], name, graphs)
			if err != nil {
				return nil, err
			}
			img.List, img.ListNames = rec.ID, rec.Names
			img.Names = append(slices.Clone(img.Names), rec.Names...)
			return img, nil
		}
		if e.Platform.OS != "unknown" {
			has = append(has, e.String())
		}
	}
	return nil, errdefs.New(errdefs.ErrUnsupported, "manifest list %s has no image for linux/%s here (it is for %s)", label(rec), runtime.GOARCH, strings.Join(has, ", "))
}

// inLists are the digests of all manifests that lists among the images name.
func inLists(g graph, images []imageRecord) map[string]bool {
	digests := map[string]bool{}
	for _, rec := range images {
		entries, _ := readList(g, rec)
		for _, e := range entries {
			digests[e.Digest] = true
		}
	}
	return digests
}
