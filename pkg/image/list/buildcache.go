package list

import (
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"

	"github.com/wherry-containers/wherry/pkg/buildcache"
)

// CacheRow is an entry of the build cache as `buildx du` and `system df --verbose` show it, with Docker's fields.
type CacheRow struct {
	ID           string
	Parents      []string
	CacheType    string
	Description  string
	Size         string
	CreatedAt    string
	CreatedSince string
	LastUsedAt   string
	LastAccessed string `json:"LastUsedSince"`
	UsageCount   string
	InUse        string
	Shared       string
	Mutable      bool
	Reclaimable  bool
}

// Headings are Docker's.
func (CacheRow) Headings() map[string]string {
	return map[string]string{"CacheType": "CACHE TYPE", "CreatedSince": "CREATED", "LastAccessed": "LAST ACCESSED", "UsageCount": "USAGE"}
}

// CacheTable shows entries as buildx does, CacheTypeTable as docker system df does.
const (
	CacheTable     = `{{.ID}}\t{{.Reclaimable}}\t{{.Size}}\t{{.LastAccessed}}`
	CacheTypeTable = `{{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastAccessed}}\t{{.UsageCount}}\t{{.Shared}}`
)

// CacheRows makes rows of entries.
func CacheRows(entries []*buildcache.Entry, now time.Time) []CacheRow {
	rows := []CacheRow{}
	for _, e := range entries {
		r := CacheRow{ID: e.ID, Parents: e.Parents, CacheType: e.Kind, Description: e.Description, Size: Size(e.Size),
			CreatedAt: stamp(e.Created), CreatedSince: ago(now, e.Created), LastUsedAt: stamp(e.LastUsed), LastAccessed: ago(now, e.LastUsed),
			UsageCount: fmt.Sprint(e.Uses), InUse: fmt.Sprint(e.InUse), Shared: fmt.Sprint(e.Shared),
			Mutable: e.Kind == buildcache.KindMount, Reclaimable: !e.InUse}
		if e.Uses == 0 {
			r.LastAccessed = ""
		}
		rows = append(rows, r)
	}
	return rows
}

func stamp(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 -0700 MST") }

func ago(now, t time.Time) string { return units.HumanDuration(now.Sub(t)) + " ago" }

// Details are what buildx du --verbose shows of a row.
func (r CacheRow) Details() string {
	var b strings.Builder
	add := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s:\t%s\n", name, value)
		}
	}
	add("ID", r.ID)
	add("Parents", strings.Join(r.Parents, ", "))
	add("Created at", r.CreatedAt)
	add("Mutable", fmt.Sprint(r.Mutable))
	add("Reclaimable", fmt.Sprint(r.Reclaimable))
	add("Shared", r.Shared)
	add("Size", r.Size)
	add("Description", r.Description)
	add("Usage count", r.UsageCount)
	add("Last used", r.LastAccessed)
	add("Type", r.CacheType)
	return b.String()
}
