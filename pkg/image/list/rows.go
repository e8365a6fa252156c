package list

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/store"
)

// none is what Docker shows for a name, tag or digest that is not there.
const none = "<none>"

// notCounted is what Docker shows for figures that it does not work out in a list.
const notCounted = "N/A"

// Row is one line of `images`: one name of one image. The fields in JSON are Docker's; those without are for
// templates, with Podman's names.
type Row struct {
	Containers   string
	CreatedAt    string
	CreatedSince string
	Digest       string
	ID           string
	Repository   string
	SharedSize   string
	Size         string
	Tag          string
	UniqueSize   string
	VirtualSize  string

	Id       string            `json:"-"` // in full, without sha256:
	Names    []string          `json:"-"`
	Created  string            `json:"-"`
	Labels   map[string]string `json:"-"`
	Dangling bool              `json:"-"`
	ReadOnly bool              `json:"-"`
	History  string            `json:"-"` // names that it had, the last first

	created time.Time
	bytes   int64
}

// Headings are Docker's.
func (Row) Headings() map[string]string {
	return map[string]string{"ID": "IMAGE ID", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT"}
}

// RowOptions say how rows are made.
type RowOptions struct {
	Digests bool // a row per digest, too
	NoTrunc bool
	All     bool // also nameless images that others stand on, or that manifest lists are about
}

// Rows makes the rows of images. The filter picks among the names of an image, too.
func Rows(images []store.Image, filter Filter, opts RowOptions, now time.Time) []Row {
	inner := innerLayers(images)
	var rows []Row
	for _, img := range images {
		if !opts.All && len(img.Names) == 0 && (inner[img.TopLayer()] || img.Listed) {
			continue
		}
		base := baseRow(img, opts.NoTrunc, now)
		if len(img.Names) == 0 {
			rows = append(rows, base)
			continue
		}
		for _, full := range img.Names {
			if filter.MatchName(full) {
				rows = append(rows, nameRow(base, ParseName(full), img.Digest))
			}
		}
	}
	return rows
}

// innerLayers are the layers that some image has below its top.
func innerLayers(images []store.Image) map[string]bool {
	inner := map[string]bool{}
	for _, img := range images {
		for i, layer := range img.Layers {
			if i > 0 {
				inner[layer] = true
			}
		}
	}
	return inner
}

func baseRow(img store.Image, noTrunc bool, now time.Time) Row {
	r := Row{
		Containers: notCounted, SharedSize: notCounted, UniqueSize: notCounted,
		CreatedAt: img.Created.Local().Format("2006-01-02 15:04:05 -0700 MST"), CreatedSince: since(img.Created, now),
		Created: since(img.Created, now), Digest: none, Repository: none, Tag: none,
		Size: Size(img.Size), VirtualSize: Size(img.Size), ID: ShortID(img.ID), Id: img.ID,
		Names: img.Names, Labels: img.Config.Config.Labels, Dangling: IsDangling(img), ReadOnly: img.ReadOnly, History: strings.Join(img.Former, ", "),
		created: img.Created, bytes: img.Size,
	}
	if noTrunc {
		r.ID = "sha256:" + img.ID
	}
	if img.Digest != "" {
		r.Digest = img.Digest
	}
	return r
}

func nameRow(r Row, n Name, digest string) Row {
	r.Repository = n.Repository
	if n.Tag != "" {
		r.Tag = n.Tag
	}
	if n.Digest != "" {
		digest = n.Digest
	}
	if digest != "" {
		r.Digest = digest
	}
	return r
}

func since(t, now time.Time) string {
	if t.IsZero() {
		return notCounted
	}
	return units.HumanDuration(now.Sub(t)) + " ago"
}

// Size is bytes as Docker's users read them.
func Size(bytes int64) string { return units.HumanSizeWithPrecision(float64(bytes), 3) }

// ShortID is the first twelve digits of an id.
func ShortID(id string) string { return id[:min(12, len(id))] }

// Sort orders rows by created (newest first), id, repository, size (largest first) or tag.
func Sort(rows []Row, by string) error {
	var compare func(a, b Row) int
	switch by {
	case "", "created":
		compare = func(a, b Row) int { return b.created.Compare(a.created) }
	case "id":
		compare = func(a, b Row) int { return strings.Compare(a.Id, b.Id) }
	case "repository":
		compare = func(a, b Row) int {
			return cmp.Or(strings.Compare(a.Repository, b.Repository), strings.Compare(a.Tag, b.Tag))
		}
	case "size":
		compare = func(a, b Row) int { return cmp.Compare(b.bytes, a.bytes) }
	case "tag":
		compare = func(a, b Row) int { return strings.Compare(a.Tag, b.Tag) }
	default:
		return errdefs.New(errdefs.ErrInvalid, "invalid --sort %q: want created, id, repository, size or tag", by)
	}
	slices.SortStableFunc(rows, compare)
	return nil
}
