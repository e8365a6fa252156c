package libpod

import (
	"context"
	"slices"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/buildcache"
	"github.com/wherry-containers/wherry/pkg/store"
)

// Usage is what takes room in the store.
type Usage struct {
	Images     []ImageUsage
	Containers []Summary // with sizes
	Volumes    []VolumeUsage
	BuildCache []*buildcache.Entry
}

// ImageUsage is one image and how much of it is its own.
type ImageUsage struct {
	store.Image
	Shared     int64 // bytes of layers that other images have too
	Containers int   // that stand on it
}

// VolumeUsage is one volume and who uses it.
type VolumeUsage struct {
	Volume
	Size       int64
	Containers int
}

// Usage adds up the sizes of all images, containers and volumes. It takes no lock: what comes or goes meanwhile may be in it.
func (e *Engine) Usage(ctx context.Context) (*Usage, error) {
	rows, err := e.List(ctx, ListOptions{All: true, Size: true})
	if err != nil {
		return nil, err
	}
	images, err := e.images.Images(ctx)
	if err != nil {
		return nil, err
	}
	volumes, err := e.VolumeList(ctx, nil)
	if err != nil {
		return nil, err
	}
	cache, err := buildcache.List(ctx, e.dirs)
	if err != nil {
		return nil, err
	}
	u := &Usage{BuildCache: cache, Containers: rows, Images: imageUsage(images, rows)}
	uses := map[string]int{}
	for i := range rows {
		for _, source := range slices.Compact(slices.Sorted(slices.Values(rows[i].Mounts))) {
			uses[source]++
		}
	}
	for _, v := range volumes {
		u.Volumes = append(u.Volumes, VolumeUsage{Volume: v, Size: treeSize(v.Mountpoint), Containers: uses[v.Name]})
	}
	return u, nil
}

// imageUsage counts for each layer the images that have it.
func imageUsage(images []store.Image, rows []Summary) []ImageUsage {
	owners := map[string]int{}
	for i := range images {
		for _, layer := range images[i].Layers {
			owners[layer]++
		}
	}
	users := map[string]int{}
	for i := range rows {
		users[rows[i].ImageID]++
	}
	list := make([]ImageUsage, len(images))
	for i, img := range images {
		list[i] = ImageUsage{Image: img, Containers: users[img.ID]}
		for j, layer := range img.Layers {
			if owners[layer] > 1 {
				list[i].Shared += img.Sizes[j]
			}
		}
	}
	return list
}

// ImageBytes is what all images take, a shared layer once, and what would be free without those that no container
// stands on.
func (u *Usage) ImageBytes() (total, reclaimable int64) {
	needed := map[string]bool{}
	for i := range u.Images {
		if u.Images[i].Containers > 0 {
			for _, layer := range u.Images[i].Layers {
				needed[layer] = true
			}
		}
	}
	seen := map[string]bool{}
	for i := range u.Images {
		img := &u.Images[i]
		for j, layer := range img.Layers {
			if seen[layer] {
				continue
			}
			seen[layer] = true
			total += img.Sizes[j]
			if !needed[layer] && !img.ReadOnly {
				reclaimable += img.Sizes[j]
			}
		}
	}
	return total, reclaimable
}

// Active tells whether a container's read-write layer is in use.
func (s *Summary) Active() bool {
	return s.Status == record.Running || s.Status == record.Paused || s.Status == record.Restarting || s.Status == record.Initialized
}
