package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	engine "github.com/wherry-containers/wherry/pkg/image"
	"github.com/wherry-containers/wherry/pkg/image/list"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/rootfs"
	"github.com/wherry-containers/wherry/pkg/store"
)

func imageRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/images/json", handle: (*Server).imageList},
		{method: http.MethodGet, pattern: "/images/search", handle: (*Server).imageSearch},
		{method: http.MethodGet, pattern: "/images/get", handle: (*Server).imageSave},
		{method: http.MethodGet, pattern: "/images/{name...}/get", handle: (*Server).imageSave},
		{method: http.MethodGet, pattern: "/images/{name...}/json", handle: (*Server).imageInspect},
		{method: http.MethodGet, pattern: "/images/{name...}/history", handle: (*Server).imageHistory},
		{method: http.MethodPost, pattern: "/images/load", handle: (*Server).imageLoad},
		{method: http.MethodPost, pattern: "/images/create", handle: (*Server).imageCreate},
		{method: http.MethodPost, pattern: "/images/prune", handle: (*Server).imagePrune},
		{method: http.MethodPost, pattern: "/images/{name...}/push", handle: (*Server).imagePush},
		{method: http.MethodPost, pattern: "/images/{name...}/tag", handle: (*Server).imageTag},
		{method: http.MethodDelete, pattern: "/images/{name...}", handle: (*Server).imageRemove},
		{method: http.MethodPost, pattern: "/commit", handle: (*Server).commit},
		{method: http.MethodPost, pattern: "/auth", handle: (*Server).auth},
		{method: http.MethodGet, pattern: "/distribution/{name...}/json", handle: (*Server).distribution},
	}
}

// imageConfig is what image sessions of this server work with.
func (s *Server) imageConfig() engine.Config {
	discard := func(string) {}
	cfg := engine.Config{Dirs: s.opts.Dirs, In: strings.NewReader(""), Out: lines(discard), Err: lines(discard), Getenv: s.opts.Getenv}
	if s.opts.EventsBackend != nil {
		cfg.EventsBackend = s.opts.EventsBackend()
	}
	return cfg
}

// lines is a writer whose text goes to a function.
type lines func(text string)

func (l lines) Write(p []byte) (int, error) {
	l(string(p))
	return len(p), nil
}

// withImages runs do with the image store open for writing.
func (s *Server) withImages(ctx context.Context, cfg engine.Config, do func(*engine.Session) error) error {
	found, err := rootfs.Detect(ctx, s.opts.Dirs)
	if err != nil {
		return err
	}
	if cfg.Driver, err = engine.DriverFor(found.Driver); err != nil {
		return err
	}
	session, err := engine.Open(cfg)
	if err != nil {
		return err
	}
	return errors.Join(do(session), session.Close())
}

func (s *Server) store() *store.Store { return store.Open(s.opts.Dirs) }

// image finds a stored image; that there is none is said in Docker's words.
func (s *Server) image(ctx context.Context, name string) (*store.Image, error) {
	img, err := s.store().Lookup(ctx, name)
	if errors.Is(err, errdefs.ErrNotFound) {
		return nil, noSuch("image", withTag(name))
	}
	return img, err
}

// withTag is a name with the tag that it means.
func withTag(name string) string {
	if strings.Contains(name, "@") || strings.HasPrefix(name, "sha256:") || strings.LastIndex(name, ":") > strings.LastIndex(name, "/") {
		return name
	}
	return name + ":latest"
}

// imageListFilters are Docker's.
var imageListFilters = []string{"dangling", "label", "label!", "before", "since", "until", "reference"}

func (s *Server) imageList(w *response, r *request) error {
	filters, err := r.filters()
	if err != nil {
		return err
	}
	filter, err := imageFilter(filters, imageListFilters...)
	if err != nil {
		return err
	}
	st := s.store()
	images, err := st.Images(r.Context())
	if err != nil {
		return err
	}
	for i := range images {
		if err := st.ReadConfig(&images[i]); err != nil {
			s.opts.Warn(err.Error()) // it is listed without what cannot be read
		}
	}
	chosen, err := filter.Images(images, func(name string) (*store.Image, error) { return s.image(r.Context(), name) })
	if err != nil {
		return err
	}
	if _, asked := filter.DanglingGiven(); !asked && !r.flag("all") {
		chosen = withoutInner(chosen, images)
	}
	for i := range chosen {
		chosen[i].Names = slices.DeleteFunc(slices.Clone(chosen[i].Names), func(full string) bool { return !filter.MatchName(full) })
	}
	rows, err := s.summaries(chosen, images, r.flag("shared-size"), r.version)
	if err != nil {
		return err
	}
	return w.json(http.StatusOK, rows)
}

// imageFilter takes the query's filters for those of the command line.
func imageFilter(filters map[string][]string, keys ...string) (list.Filter, error) {
	if err := known(filters, keys...); err != nil {
		return list.Filter{}, err
	}
	var texts []string
	for key, values := range filters {
		for _, value := range values {
			texts = append(texts, key+"="+value)
		}
	}
	f, err := list.ParseFilter(texts, time.Now(), keys...)
	if err != nil {
		return f, invalid("%s", strings.ReplaceAll(err.Error(), "--filter ", "filter "))
	}
	return f, nil
}

// withoutInner leaves out nameless images that others stand on.
func withoutInner(chosen, all []store.Image) []store.Image {
	inner := map[string]bool{}
	for i := range all {
		if len(all[i].Layers) > 1 {
			for _, layer := range all[i].Layers[1:] {
				inner[layer] = true
			}
		}
	}
	return slices.DeleteFunc(chosen, func(img store.Image) bool { return len(img.Names) == 0 && inner[img.TopLayer()] })
}

// imageSummary has what older clients look for beside today's fields.
type imageSummary struct {
	image.Summary
	VirtualSize *int64 `json:",omitempty"` // until 1.43
}

// summaries are rows of a list. Users are counted from 1.51 on, as Docker does.
func (s *Server) summaries(chosen, all []store.Image, shared bool, version int) ([]imageSummary, error) {
	users, err := engine.Users(s.opts.Dirs)
	if err != nil {
		return nil, err
	}
	owners := map[string]int{}
	for i := range all {
		for _, layer := range all[i].Layers {
			owners[layer]++
		}
	}
	rows := make([]imageSummary, len(chosen))
	for i := range chosen {
		img := &chosen[i]
		row := imageSummary{Summary: summary(img)}
		row.SharedSize, row.Containers = -1, -1
		if shared {
			row.SharedSize = sharedSize(img, owners)
		}
		if version >= 51 {
			row.Containers = int64(len(slices.DeleteFunc(slices.Clone(users), func(u engine.User) bool { return u.Image != img.ID })))
		}
		if version < 44 {
			row.VirtualSize = &row.Size
		}
		rows[i] = row
	}
	return rows, nil
}

func summary(img *store.Image) image.Summary {
	doc := list.Inspect(img)
	row := image.Summary{ID: doc.ID, RepoTags: doc.RepoTags, RepoDigests: doc.RepoDigests, Size: img.Size, Labels: img.Config.Config.Labels}
	if !img.Created.IsZero() {
		row.Created = img.Created.Unix()
	}
	return row
}

func sharedSize(img *store.Image, owners map[string]int) int64 {
	var sum int64
	for i, layer := range img.Layers {
		if owners[layer] > 1 {
			sum += img.Sizes[i]
		}
	}
	return sum
}

func (s *Server) imageInspect(w *response, r *request) error {
	img, err := s.image(r.Context(), r.vars["name"])
	if err != nil {
		return err
	}
	if err := checkPlatform(r, img, "platform"); err != nil {
		return err
	}
	return w.json(http.StatusOK, list.Inspect(img))
}

// checkPlatform refuses an image that is for another platform than the query's parameter asks for: only one is kept.
func checkPlatform(r *request, img *store.Image, name string) error {
	for _, text := range r.params(name) {
		want, err := parsePlatform(text)
		if err != nil {
			return err
		}
		c := img.Config
		if !want.Matches(c.OS, c.Architecture, c.Variant) {
			return fail(http.StatusNotFound, "image with reference %s was found but its platform (%s) does not match the specified platform (%s)",
				r.vars["name"], option.Platform{OS: c.OS, Arch: c.Architecture, Variant: c.Variant}, want)
		}
	}
	return nil
}

// parsePlatform reads what clients send for a platform: os/arch, or an OCI platform in JSON. Empty means any.
func parsePlatform(text string) (option.Platform, error) {
	if strings.HasPrefix(text, "{") {
		var p ocispec.Platform
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			return option.Platform{}, invalid("invalid platform %q: %v", text, err)
		}
		return option.Platform{OS: p.OS, Arch: p.Architecture, Variant: p.Variant}.Normal(), nil
	}
	if text == "" {
		return option.Platform{}, nil
	}
	p, err := option.ParsePlatform(text)
	if err != nil {
		return p, invalid("invalid platform %q: %v", text, err)
	}
	return p, nil
}

func (s *Server) imageHistory(w *response, r *request) error {
	img, err := s.image(r.Context(), r.vars["name"])
	if err == nil {
		err = checkPlatform(r, img, "platform")
	}
	if err != nil {
		return err
	}
	steps := []image.HistoryResponseItem{}
	for i, h := range img.History() {
		step := image.HistoryResponseItem{ID: "<missing>", CreatedBy: h.CreatedBy, Comment: h.Comment, Size: h.Size}
		if h.Created != nil {
			step.Created = h.Created.Unix()
		}
		if i == 0 {
			step.ID, step.Tags = "sha256:"+img.ID, list.Inspect(img).RepoTags
		}
		steps = append(steps, step)
	}
	return w.json(http.StatusOK, steps)
}

func (s *Server) imageTag(w *response, r *request) error {
	img, err := s.image(r.Context(), r.vars["name"])
	if err != nil {
		return err
	}
	repo := r.param("repo")
	if repo == "" {
		return invalid("repo is missing: which name shall the image get?")
	}
	if tag := r.param("tag"); tag != "" {
		repo += ":" + tag
	}
	err = s.withImages(r.work(), s.imageConfig(), func(session *engine.Session) error {
		return session.Tag(r.work(), "sha256:"+img.ID, []string{repo})
	})
	if err != nil {
		return err
	}
	return w.empty(http.StatusCreated)
}

func (s *Server) imageRemove(w *response, r *request) error {
	name := r.vars["name"]
	img, err := s.store().Lookup(r.Context(), name)
	switch {
	case errors.Is(err, errdefs.ErrNotFound):
		return noSuch("image", withTag(name))
	case err == nil:
		err = checkPlatform(r, img, "platforms")
	case !errors.Is(err, errdefs.ErrBroken): // a broken one can be removed
		return err
	}
	if err != nil && !errors.Is(err, errdefs.ErrBroken) {
		return err
	}
	gone := []image.DeleteResponse{}
	cfg := s.imageConfig()
	cfg.Watch.Removed = func(removed engine.Removed) {
		gone = append(gone, image.DeleteResponse{Untagged: removed.Untagged, Deleted: removed.Deleted})
	}
	opts := option.Remove{Force: r.flag("force"), NoPrune: r.flag("noprune")}
	err = s.withImages(r.work(), cfg, func(session *engine.Session) error { return session.Remove(r.work(), name, opts) })
	if err != nil {
		return err
	}
	return w.json(http.StatusOK, gone)
}

func (s *Server) imagePrune(w *response, r *request) error {
	filters, err := r.filters()
	if err != nil {
		return err
	}
	if err := known(filters, "dangling", "label", "label!", "until"); err != nil {
		return err
	}
	var opts option.Prune
	for key, values := range filters {
		for _, value := range values {
			opts.Filters = append(opts.Filters, key+"="+value)
		}
	}
	report := image.PruneReport{ImagesDeleted: []image.DeleteResponse{}}
	cfg := s.imageConfig()
	cfg.Watch.Removed = func(removed engine.Removed) {
		report.ImagesDeleted = append(report.ImagesDeleted, image.DeleteResponse{Untagged: removed.Untagged, Deleted: removed.Deleted})
	}
	err = s.withImages(r.work(), cfg, func(session *engine.Session) error {
		pruned, err := session.Prune(r.work(), opts)
		report.SpaceReclaimed = uint64(max(pruned.Reclaimed, 0))
		return err
	})
	if err != nil {
		return err
	}
	return w.json(http.StatusOK, report)
}

func (s *Server) imageSearch(w *response, r *request) error {
	term := r.param("term")
	if term == "" {
		return invalid("term is missing: which images shall be searched for?")
	}
	limit, err := r.number("limit", 25)
	if err != nil {
		return err
	}
	opts := option.Search{Limit: limit}
	if limit == 0 {
		opts.Limit = 25
	}
	if opts.Options, err = registryAuth(r); err != nil {
		return err
	}
	filters, err := r.filters()
	if err != nil {
		return err
	}
	for key, values := range filters {
		for _, value := range values {
			opts.Filters = append(opts.Filters, key+"="+value)
		}
	}
	found, err := engine.Search(r.Context(), s.imageConfig(), term, opts)
	if err != nil {
		return err
	}
	rows := make([]registry.SearchResult, len(found))
	for i, f := range found {
		rows[i] = registry.SearchResult{Name: f.Name, Description: f.Description, StarCount: f.Stars, IsOfficial: f.Official, IsAutomated: f.Automated}
	}
	return w.json(http.StatusOK, rows)
}
