package store

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Lookup finds an image by name (short, tagged or digested), id or a prefix of its id. The user's own store comes
// before the additional ones, and a name before a prefix. With nothing changed since the last lookup of ref, it
// costs the reading of one small file and one stat, however many images there are.
func (s *Store) Lookup(ctx context.Context, ref string) (*Image, error) {
	if img := s.cached(ref); img != nil {
		return img, nil
	}
	for attempt := 0; ; attempt++ {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		img, signed, err := s.search(ref)
		if err == nil {
			s.remember(ref, img, signed)
			return img, nil
		}
		// Lists are read without a lock: a layer that is missing may belong to an image that is gone by now.
		if attempt < 3 && errors.Is(err, errdefs.ErrBroken) && !unchanged(signed) {
			continue
		}
		return nil, err
	}
}

// search reads the stores one after the other until one has the image. The signatures are of all that was read.
func (s *Store) search(ref string) (*Image, []signature, error) {
	q, err := newQuery(ref)
	if err != nil {
		return nil, nil, err
	}
	h := &hunt{store: s, query: q}
	if img, err := h.root(s.dirs.Graph(), false); img != nil || err != nil {
		return img, h.signed, err
	}
	roots, confErr := s.additionalRoots()
	if path := s.conf(); path != "" {
		h.signed = append(h.signed, sign(path))
	}
	for _, root := range roots {
		img, err := h.root(root, true)
		if errors.Is(err, errdefs.ErrAmbiguous) || img != nil {
			return img, h.signed, err
		}
		confErr = errors.Join(confErr, err)
	}
	if confErr != nil {
		return nil, h.signed, confErr
	}
	return nil, h.signed, notFound(ref, q, h.seen)
}

// hunt is one search and what it has read so far.
type hunt struct {
	store  *Store
	query  query
	graphs []graph
	signed []signature
	seen   []imageRecord
}

// root looks in one graph root; nil without an error: not there.
func (h *hunt) root(root string, readOnly bool) (*Image, error) {
	for _, g := range graphsOf(root, readOnly) {
		h.graphs = append(h.graphs, g)
		h.signed = append(h.signed, sign(g.imagesFile()))
		images, err := g.images()
		if err != nil {
			return nil, err
		}
		h.seen = append(h.seen, images...)
		rec, name, err := h.query.match(images)
		if err != nil {
			return nil, err
		}
		if rec != nil {
			return h.store.build(*rec, name, h.graphs)
		}
	}
	return nil, nil
}

// build makes the Image of the record that was found in the last of graphs.
func (s *Store) build(rec imageRecord, name string, graphs []graph) (*Image, error) {
	at := len(graphs) - 1
	if entries, ok := readList(graphs[at], rec); ok {
		return s.listed(rec, name, entries, graphs)
	}
	img := newImage(rec, graphs[at])
	img.Ref = name
	if err := s.layerSet(graphs).fill(&img, rec.TopLayer, at, true); err != nil {
		return nil, err
	}
	var err error
	if img.Config, err = readConfig(graphs[at], rec); err != nil {
		return nil, imageBroken(&img, err)
	}
	return &img, nil
}

// layerSet resolves layers in graphs and then in the additional stores that are not among them.
func (s *Store) layerSet(graphs []graph) *layerSet {
	all := slices.Clone(graphs)
	roots, _ := s.additionalRoots()
	for _, root := range roots {
		for _, g := range graphsOf(root, true) {
			if !slices.Contains(all, g) {
				all = append(all, g)
			}
		}
	}
	return newLayerSet(all)
}

func newImage(rec imageRecord, g graph) Image {
	img := Image{
		ID: rec.ID, Names: rec.Names, Digests: rec.knownDigests(), Created: rec.Created, Former: rec.History,
		ReadOnly: g.readOnly, Graph: g.root, Driver: g.driver,
	}
	if len(img.Digests) > 0 {
		img.Digest = img.Digests[0]
	}
	return img
}

// query is a reference read in all the ways it may be meant.
type query struct {
	text  string
	names []string // full names it may stand for, the most wanted first
	repos []string // with digest: the repositories it may lie in
	dig   string   // digest to match
	id    string   // prefix of an id
}

func newQuery(text string) (query, error) {
	q := query{text: text}
	if hex, ok := strings.CutPrefix(text, "sha256:"); ok {
		if hex != "" && len(hex) <= 64 && isLowerHex(hex) {
			q.id = hex
			if len(hex) == 64 {
				q.dig = text
			}
			return q, nil
		}
	}
	if isLowerHex(text) && len(text) <= 64 {
		q.id = text
		if len(text) == 64 {
			return q, nil
		}
	}
	r, err := ParseReference(text)
	if err != nil {
		if q.id != "" {
			return q, nil
		}
		return q, err
	}
	local := r
	local.Domain, local.Path = localDomain, strings.TrimPrefix(r.Path, officialPrefix)
	if r.short {
		q.addName(local) // an image built here goes before one of the same name from afar, as in Podman
	}
	q.addName(r)
	q.dig = r.Digest
	return q, nil
}

func (q *query) addName(r Reference) {
	q.names = append(q.names, r.String())
	if r.Digest != "" {
		q.repos = append(q.repos, r.Repository())
		r.Tag = ""
		q.names = append(q.names, r.String())
	}
}

// match finds the image among those of one store. Its name is empty when an id matched.
func (q query) match(images []imageRecord) (*imageRecord, string, error) {
	for _, name := range q.names {
		for i := range images {
			if slices.Contains(images[i].Names, name) {
				return &images[i], name, nil
			}
		}
	}
	if rec, name := q.matchDigest(images); rec != nil {
		return rec, name, nil
	}
	if q.id == "" {
		return nil, "", nil
	}
	return q.matchID(images)
}

// matchDigest finds name@digest where the image is known by another tag of the same repository, and a bare digest
// of a manifest.
func (q query) matchDigest(images []imageRecord) (*imageRecord, string) {
	if q.dig == "" {
		return nil, ""
	}
	for i := range images {
		if !slices.Contains(images[i].knownDigests(), q.dig) {
			continue
		}
		if len(q.repos) == 0 {
			return &images[i], ""
		}
		for _, name := range images[i].Names {
			if r, err := ParseReference(name); err == nil && slices.Contains(q.repos, r.Repository()) {
				return &images[i], r.Repository() + "@" + q.dig
			}
		}
	}
	return nil, ""
}

func (q query) matchID(images []imageRecord) (*imageRecord, string, error) {
	var found *imageRecord
	for i := range images {
		if !strings.HasPrefix(images[i].ID, q.id) {
			continue
		}
		if found != nil && found.ID != images[i].ID {
			return nil, "", errdefs.New(errdefs.ErrAmbiguous, "image id %q is ambiguous: %s and %s start with it (give more digits)",
				q.text, label(*found), label(images[i]))
		}
		found = &images[i]
	}
	return found, "", nil
}

func label(i imageRecord) string {
	// Two ids that share a long prefix must still look different.
	if len(i.Names) == 0 {
		return i.ID[:min(20, len(i.ID))]
	}
	return i.ID[:min(20, len(i.ID))] + " (" + familiar(i.Names[0]) + ")"
}
