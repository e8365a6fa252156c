package api

import (
	"net/http"
	"slices"
	"time"

	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/volume"

	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/pkg/buildcache"
	engine "github.com/wherry-containers/wherry/pkg/image"
	"github.com/wherry-containers/wherry/pkg/store"
)

func usageRoutes() []route {
	return []route{{method: http.MethodGet, pattern: "/system/df", handle: (*Server).diskUsage}}
}

// usage is what takes room, as clients up to 1.51 have it.
type usage struct {
	LayersSize  int64
	Images      []imageSummary
	Containers  []container.Summary
	Volumes     []volume.Volume
	BuildCache  []build.CacheRecord
	BuilderSize *int64 `json:",omitempty"` // until 1.41
}

// usageTypes are what a client may ask for one by one.
var usageTypes = []string{"container", "image", "volume", "build-cache"}

func (s *Server) diskUsage(w *response, r *request) error {
	wanted := r.params("type")
	for _, kind := range wanted {
		if !slices.Contains(usageTypes, kind) {
			return invalid("unknown object type: %s", kind)
		}
	}
	all, err := s.engine.Usage(r.Context())
	if err != nil {
		return err
	}
	var doc usage
	wants := func(kind string) bool { return len(wanted) == 0 || slices.Contains(wanted, kind) }
	if wants("image") {
		if err := s.imageUsage(&doc, all, r); err != nil {
			return err
		}
	}
	if wants("container") {
		l := &lister{s: s, size: true, now: time.Now(), ids: map[string]string{}}
		doc.Containers = []container.Summary{}
		for i := range all.Containers {
			doc.Containers = append(doc.Containers, l.row(r.Context(), &all.Containers[i]))
		}
	}
	if wants("volume") {
		doc.Volumes = []volume.Volume{}
		for i := range all.Volumes {
			v := volumeDoc(&all.Volumes[i].Volume)
			v.UsageData = &volume.UsageData{Size: all.Volumes[i].Size, RefCount: int64(all.Volumes[i].Containers)}
			doc.Volumes = append(doc.Volumes, v)
		}
	}
	if wants("build-cache") {
		doc.BuildCache = cacheRecords(all.BuildCache)
	}
	if r.version < 42 {
		total, _ := buildcache.Total(all.BuildCache)
		doc.BuilderSize = &total
	}
	return w.json(http.StatusOK, doc)
}

func (s *Server) imageUsage(doc *usage, all *libpod.Usage, r *request) error {
	images := make([]store.Image, len(all.Images))
	st := s.store()
	for i := range all.Images {
		images[i] = all.Images[i].Image
		if err := st.ReadConfig(&images[i]); err != nil {
			s.opts.Warn(err.Error())
		}
	}
	var err error
	doc.Images, err = s.summaries(images, images, true, max(r.version, 51)) // users are always counted here
	if err != nil {
		return err
	}
	for i := range doc.Images {
		if r.version < 44 {
			doc.Images[i].VirtualSize = &doc.Images[i].Size
		}
	}
	doc.LayersSize, _ = all.ImageBytes()
	return nil
}

func cacheRecords(entries []*buildcache.Entry) []build.CacheRecord {
	records := []build.CacheRecord{}
	for _, e := range entries {
		c := build.CacheRecord{ID: e.ID, Parents: e.Parents, Type: e.Kind, Description: e.Description, InUse: e.InUse, Shared: e.Shared,
			Size: e.Size, CreatedAt: e.Created, UsageCount: e.Uses}
		if !e.LastUsed.IsZero() {
			c.LastUsedAt = &e.LastUsed
		}
		records = append(records, c)
	}
	return records
}

// buildPrune removes what builds have left for later ones.
func (s *Server) buildPrune(w *response, r *request) error {
	opts, err := pruneOptions(r)
	if err != nil {
		return err
	}
	report := build.CachePruneReport{CachesDeleted: []string{}}
	err = s.withImages(r.work(), s.imageConfig(), func(session *engine.Session) error {
		pruned, err := session.PruneBuildCache(r.work(), opts)
		for _, e := range pruned.Entries {
			report.CachesDeleted = append(report.CachesDeleted, e.ID)
		}
		report.SpaceReclaimed = uint64(max(pruned.Reclaimed, 0))
		return err
	})
	if err != nil {
		return err
	}
	return w.json(http.StatusOK, report)
}

func pruneOptions(r *request) (o buildcache.PruneOptions, err error) {
	filters, err := r.filters()
	if err == nil {
		err = known(filters, "until", "id", "parent", "type", "description", "inuse", "shared", "private")
	}
	if err != nil {
		return o, err
	}
	o.All = r.flag("all")
	for key, values := range filters {
		if key == "parent" {
			key = "parents"
		}
		for _, value := range values {
			o.Filters = append(o.Filters, key+"="+value)
		}
	}
	var keep, reserved, used, free int
	for name, into := range map[string]*int{"keep-storage": &keep, "reserved-space": &reserved, "max-used-space": &used, "min-free-space": &free} {
		if *into, err = r.number(name, 0); err != nil {
			return o, err
		}
	}
	o.Reserved, o.MaxUsed, o.MinFree = int64(max(keep, reserved)), int64(used), int64(free)
	if _, err := buildcache.ParseFilters(o.Filters, time.Now()); err != nil {
		return o, invalid("%v", err)
	}
	return o, nil
}
